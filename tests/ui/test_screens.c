/* SPDX-License-Identifier: MIT */
/* Keys in, text out: the explorer on a canvas, without a terminal. */
#include "tests/ui/stage.h"

#include "base/file.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "ui/kit/list.h"
#include "ui/kit/theme.h"

#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

static void add_models(const char *hub)
{
    static const char card[] = "---\nbase_model: acme/base\n---\n";
    AUTO_BUF struct buf base = test_model(60000, 1, 0), one = test_model(60000, 1, 2);
    free(test_hub_model(hub, "acme--base", &base, NULL));
    free(test_hub_model(hub, "acme--l31-sql-ft", &one, card));
}

static void setup(struct stage *e, int rows, int columns, bool models)
{
    stage_open(e, rows, columns);
    if (models)
        add_models(e->hub);
    stage_scan(e);
}

static void models__opened__show_rows_tabs_and_keys(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_sees(&e, " tare  2 models");
    stage_sees(&e, "[1 Models] 2 Families  3 Duplicates  4 Delta  5 Jobs");
    stage_sees(&e, "   NAME");
    stage_sees(&e, " > acme/base");
    stage_sees(&e, "   acme/l31-sql-ft");
    stage_sees(&e, "sorted by NAME");
    stage_sees(&e, " c compress  x decompress");
    assert_false(stage_shows(&e, "revision")); /* the details need 120 columns */
    stage_close(&e);
}

static void models__wide_terminal__has_a_details_pane(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 48, 160, true);
    stage_press(&e, "j");
    stage_sees(&e, "revision");
    stage_sees(&e, "finetune   acme/base");
    stage_press(&e, "i");
    assert_false(stage_shows(&e, "revision"));
    stage_close(&e);
}

static void models__filter_and_sort__change_the_rows(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "/SQL");
    stage_sees(&e, "filter: SQL");
    assert_false(stage_shows(&e, "acme/base "));
    stage_press(&e, "\n\033");
    stage_sees(&e, "acme/base");
    stage_press(&e, "sn");
    stage_sees(&e, "sorted by NAME (reversed)");
    stage_press(&e, "ss");
    stage_sees(&e, "sorted by SIZE");
    stage_close(&e);
}

static void models__marks__are_summed_in_the_footer(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, " ");
    stage_sees(&e, "1 marked: frees about ");
    stage_sees(&e, " * acme/base");
    stage_press(&e, "a");
    stage_sees(&e, "2 marked");
    stage_press(&e, "U");
    assert_false(stage_shows(&e, "marked"));
    stage_close(&e);
}

/* A family of three, one of which claims what the bits deny, and a lone model of an absent base. */
static void setup_family(struct stage *e, int rows, int columns)
{
    static const char lone_card[] = "---\nbase_model: else/where\n---\n";
    static const char false_card[] = "---\nbase_model: acme/lone\n---\n";
    setup(e, rows, columns, true);
    AUTO_BUF struct buf lone = test_model(60000, 9, 0), liar = test_model(60000, 1, 1234);
    free(test_hub_model(e->hub, "acme--lone", &lone, lone_card));
    free(test_hub_model(e->hub, "acme--liar", &liar, false_card));
    stage_scan(e);
    stage_press(e, "2");
}

static void families__opened__show_trees_and_how_they_are_known(void **state)
{
    (void)state;
    struct stage e;
    setup_family(&e, 24, 80);
    stage_sees(&e, " 1 Models [2 Families] 3 Duplicates  4 Delta  5 Jobs");
    stage_sees(&e, " acme/base");
    stage_sees(&e, "└─ liar");
    stage_sees(&e, "bits !card");
    stage_sees(&e, "├─ l31-sql-ft");
    stage_sees(&e, "finetune   1.4/16 card bits");
    stage_sees(&e, "card bits");
    stage_sees(&e, "else/where                     not here");
    stage_sees(&e, "└─ acme/lone");
    stage_press(&e, "/liar\n");
    stage_sees(&e, "acme/base"); /* what it hangs under stays */
    assert_false(stage_shows(&e, "acme/lone"));
    stage_press(&e, "\033g");
    stage_press(&e, "jj");
    stage_sees(&e, "claims acme/lone: the bits say no");
    stage_close(&e);
}

static void families__collapsed__stand_for_all_below(void **state)
{
    (void)state;
    struct stage e;
    setup_family(&e, 24, 80);
    stage_press(&e, "gh");
    stage_sees(&e, "+ acme/base");
    assert_false(stage_shows(&e, "liar  "));
    stage_press(&e, "c");
    stage_settle(&e);
    stage_sees(&e, "Compress 3 models");
    stage_press(&e, "\033\n");
    stage_sees(&e, "liar  ");
    stage_press(&e, "t");
    stage_sees(&e, "3 marked");
    stage_press(&e, "t");
    assert_false(stage_shows(&e, "marked"));
    stage_close(&e);
}

static void families__enter_on_a_model__shows_it_in_the_list_and_back(void **state)
{
    (void)state;
    struct stage e;
    setup_family(&e, 24, 80);
    stage_press(&e, "gj\n");
    stage_sees(&e, "[1 Models]");
    stage_sees(&e, " > acme/l");
    stage_press(&e, "g");
    stage_press(&e, "2");
    stage_sees(&e, "[2 Families]");
    stage_sees(&e, " > acme/base");
    stage_close(&e);
}

static void delta__d_on_a_fine_tune__shows_what_differs_by_layer(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jd");
    stage_settle(&e);
    stage_sees(&e, "[4 Delta]");
    stage_sees(&e, "acme/l31-sql-ft against acme/base");
    stage_sees(&e, "MODULE by LAYER");
    stage_sees(&e, "% unchanged  1.4");
    stage_sees(&e, "flips  sign [");
    stage_sees(&e, "changed: 0 to ");
    stage_press(&e, "m");
    stage_sees(&e, "bits that differ: 0 to ");
    stage_press(&e, "mlljjhkgG");
    stage_sees(&e, "relative change: 0 to ");
    stage_press(&e, "\033");
    stage_sees(&e, "[1 Models]");
    stage_press(&e, "kd");
    stage_sees(&e, "no parent of it is known");
    stage_press(&e, "ad");
    stage_settle(&e);
    stage_sees(&e, "acme/l31-sql-ft against acme/base");
    stage_close(&e);
}

static void duplicates__equal_tensors_and_files__are_listed_with_their_places(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 100, true);
    AUTO_BUF struct buf same = test_model(60000, 1, 0);
    free(test_hub_model(e.hub, "acme--copy", &same, NULL));
    stage_scan(&e);
    stage_press(&e, "3");
    stage_settle(&e);
    stage_sees(&e, "[3 Duplicates]");
    stage_sees(&e, "WASTED COPIES   EACH");
    stage_sees(&e, " 2 ");
    stage_sees(&e, "the files are equal");
    stage_press(&e, "\n");
    stage_sees(&e, "acme/copy");
    stage_press(&e, "f");
    stage_sees(&e, "in all; tensors");
    stage_press(&e, "f");
    stage_sees(&e, "in all; files");
    stage_press(&e, "t");
    stage_sees(&e, "2 marked");
    stage_press(&e, "tc");
    stage_settle(&e);
    stage_sees(&e, "Compress 2 models");
    stage_press(&e, "\033\nj\n");
    stage_sees(&e, "[1 Models]");
    stage_close(&e);
}

static void details__enter_on_a_model__shows_tensors_files_and_lineage(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "j\n");
    stage_settle(&e);
    stage_sees(&e, " acme/l31-sql-ft  plain");
    stage_sees(&e, "[tensors] largest  files  lineage  history");
    stage_sees(&e, "   TENSOR");
    stage_sees(&e, "layers.0.weight");
    stage_press(&e, "G");
    stage_press(&e, "g/norm");
    stage_sees(&e, "filter: norm");
    stage_sees(&e, "norm.weight");
    stage_press(&e, "\n\033f");
    stage_sees(&e, "[largest]");
    stage_press(&e, "f");
    stage_sees(&e, "model.safetensors");
    stage_press(&e, "f");
    stage_sees(&e, "finetune     acme/base");
    stage_sees(&e, "card");
    stage_press(&e, "f");
    stage_sees(&e, "nothing was done with it yet");
    stage_press(&e, "f");
    stage_sees(&e, "[tensors]");
    stage_press(&e, "\033");
    stage_sees(&e, "   NAME");
    stage_sees(&e, " > acme/l31-sql-ft");
    stage_close(&e);
}

static void details__enter_on_a_tensor__shows_its_numbers_and_places(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 40, 80, true);
    AUTO_BUF struct buf same = test_model(60000, 1, 0);
    free(test_hub_model(e.hub, "acme--copy", &same, NULL));
    stage_scan(&e);
    stage_press(&e, "g\n");
    stage_settle(&e);
    stage_press(&e, "f\n");
    stage_settle(&e);
    stage_sees(&e, "BF16  ");
    stage_sees(&e, "the same content stands in 1 other place");
    stage_sees(&e, "  acme/copy  ");
    stage_sees(&e, "size of   share of the numbers");
    stage_press(&e, "\033");
    stage_sees(&e, "[largest]");
    stage_press(&e, "2");
    stage_press(&e, "1");
    stage_sees(&e, "[largest]"); /* other tabs leave the page open */
    stage_press(&e, "1");
    stage_sees(&e, "   NAME");
    stage_close(&e);
}

static void details__history__tells_what_was_done(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jc");
    stage_settle(&e);
    stage_press(&e, "y");
    stage_settle(&e);
    stage_press(&e, "\n");
    stage_settle(&e);
    stage_sees(&e, "compressed");
    stage_press(&e, "ffff");
    stage_sees(&e, "compress ");
    stage_sees(&e, "acme/l31-sql-ft");
    stage_close(&e);
}

static void overview__o__says_what_can_be_freed_and_how(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 40, 100, true);
    stage_press(&e, "o");
    stage_sees(&e, "What can be freed, by doing what");
    stage_sees(&e, "2 models  compress them");
    stage_sees(&e, "File systems, and how full they are");
    stage_sees(&e, "acme/base");
    stage_sees(&e, "100%");
    stage_press(&e, "\033");
    stage_sees(&e, "   NAME");
    stage_close(&e);
}

static void export__e__writes_what_is_shown(void **state)
{
    (void)state;
    struct stage e;
    AUTO_BUF struct buf text = {0}, other = {0};
    setup(&e, 24, 80, true);
    AUTO_FREE char *csv = test_path(e.dir, "out.csv"), *json = test_path(e.dir, "out.json");
    stage_press(&e, "/sql\ne\025");
    stage_press(&e, csv);
    stage_sees(&e, "out.csv_");
    stage_press(&e, "\n");
    stage_settle(&e);
    stage_sees(&e, "written: ");
    assert_int_equal(file_read_all(AT_FDCWD, csv, 1 << 20, &text, NULL), 0);
    assert_memory_equal(text.data, "id,name,source,path,", 20);
    assert_non_null(strstr(text.data, "\"acme/l31-sql-ft\""));
    assert_null(strstr(text.data, "acme/base"));
    stage_press(&e, "2e\025");
    stage_press(&e, csv);
    stage_press(&e, "\n");
    stage_settle(&e);
    stage_sees(&e, "it is there already");
    stage_press(&e, "e\025");
    stage_press(&e, json);
    stage_press(&e, "\n");
    stage_settle(&e);
    assert_int_equal(file_read_all(AT_FDCWD, json, 1 << 20, &other, NULL), 0);
    assert_non_null(strstr(other.data, "\"relation\":\"finetune\""));
    stage_press(&e, "e.txt\n");
    stage_settle(&e);
    stage_sees(&e, "it ends in .csv or .json");
    stage_close(&e);
}

/* The role of the cell where a text begins. */
static enum role role_of(const struct stage *e, const char *text)
{
    for (int row = 0; row < e->app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&e->app.canvas, row);
        const char *at = strstr(line, text);
        AUTO_FREE char *before = at ? mem_strndup(line, (size_t)(at - line)) : NULL;
        if (at)
            return (enum role)e->app.canvas.cells[row * e->app.canvas.columns + text_width(before)]
                .role;
    }
    fail_msg("the screen does not show: %s", text);
    return ROLE_TEXT;
}

static void search__matches__stand_out_in_every_list(void **state)
{
    (void)state;
    struct stage e;
    setup_family(&e, 24, 80);
    stage_press(&e, "1/L\n");
    stage_press(&e, "g");
    assert_int_equal(role_of(&e, "l31-sql"), ROLE_MATCH_CURSOR);
    assert_int_equal(role_of(&e, "liar"), ROLE_MATCH);
    stage_press(&e, "\0332/iar\n");
    stage_press(&e, "g");
    assert_int_equal(role_of(&e, "iar"), ROLE_MATCH);
    stage_press(&e, "\0331d");
    stage_settle(&e);
    stage_press(&e, "4/nor");
    stage_sees(&e, "search: nor");
    stage_close(&e);
}

static void delta__b__compares_with_another_base(void **state)
{
    (void)state;
    struct stage e;
    setup_family(&e, 24, 80);
    stage_press(&e, "1/sql\nd");
    stage_settle(&e);
    stage_sees(&e, "acme/l31-sql-ft against acme/base");
    stage_press(&e, "b");
    stage_sees(&e, "Compare with");
    stage_sees(&e, "> acme/base"); /* its parent stands first */
    stage_press(&e, "j\n");
    stage_settle(&e);
    stage_sees(&e, "acme/l31-sql-ft against acme/liar");
    stage_press(&e, "/weight\n");
    stage_sees(&e, " > weight");
    stage_press(&e, "mmm");
    stage_sees(&e, "stored size (estimated): 0 to ");
    stage_close(&e);
}

/* The collection shrinks while bases are offered, and while the details of a model are open. */
static void screen__models_go_away__what_is_open_stays_whole(void **state)
{
    (void)state;
    struct stage e;
    AUTO_BUF struct buf text = {0};
    setup_family(&e, 24, 80);
    AUTO_BUF struct buf more = test_safetensors(
        "{\"one.weight\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", "abcd", 4);
    AUTO_FREE char *folder = test_path(e.hub, "models--acme--liar");
    AUTO_FREE char *csv = test_path(e.dir, "out.csv");
    stage_press(&e, "1/sql\nd");
    stage_settle(&e);
    stage_press(&e, "b");
    test_remove(mem_strdup(folder));
    stage_scan(&e);
    stage_sees(&e, "Compare with");
    stage_press(&e, "G\n");
    stage_settle(&e);
    stage_sees(&e, "[4 Delta]");
    stage_press(&e, "\033\033/base\n\n");
    stage_settle(&e);
    stage_sees(&e, "layers.0.weight");
    const char *path = e.app.page.library->models[e.app.page.model].path;
    AUTO_FREE char *gone = test_path(path, "one-more.safetensors");
    test_write(path, "one-more.safetensors", more.data, more.len);
    stage_scan(&e);
    stage_sees(&e, "one.weight"); /* the details are read anew */
    assert_int_equal(unlink(gone), 0);
    stage_scan(&e);
    assert_false(stage_shows(&e, "one.weight"));
    stage_press(&e, "e\025");
    stage_press(&e, csv);
    stage_press(&e, "\n");
    stage_settle(&e);
    assert_int_equal(file_read_all(AT_FDCWD, csv, 1 << 20, &text, NULL), 0);
    assert_non_null(strstr(text.data, "model.safetensors"));
    assert_null(strstr(text.data, "one-more"));
    stage_close(&e);
}

static void details__a_tensor_that_cannot_be_read__says_why(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "\n");
    stage_settle(&e);
    for (size_t i = 0; i < e.app.library->file_count; i++)
        assert_int_equal(truncate(e.app.library->files[i].path, 100), 0);
    stage_press(&e, "f\n");
    stage_sees(&e, "reading it");
    stage_settle(&e);
    stage_sees(&e, "changed since it was indexed");
    stage_sees(&e, "[largest]");
    assert_false(app_waits(&e.app));
    stage_close(&e);
}

/* The answer to an earlier question is not taken for that to the next one. */
static void plan__asked_twice__shows_the_second(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "c\033jc");
    stage_settle(&e);
    stage_sees(&e, "Compress 1 model   store");
    stage_sees(&e, "acme/l31-sql-ft");
    stage_press(&e, "\033gD\033jD");
    stage_settle(&e);
    stage_sees(&e, "Delete 1 model for good");
    assert_string_equal(e.app.plan_library->models[e.app.deletion->models[0].model].name,
                        "acme/l31-sql-ft");
    stage_close(&e);
}

static void delta__cancelled_as_a_job__is_not_waited_for(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jd");
    stage_sees(&e, "reading both models");
    stage_press(&e, "5x");
    stage_settle(&e);
    assert_false(app_waits(&e.app));
    stage_close(&e);
}

static void jobs__a_question_is_answered__the_cursor_stays_on_its_job(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "31V5");
    stage_sees(&e, " duplicates ");
    stage_press(&e, "G");
    stage_sees(&e, ">  verify acme/base");
    stage_settle(&e);
    stage_sees(&e, ">  verify acme/base");
    assert_false(stage_shows(&e, " duplicates "));
    stage_press(&e, "\n");
    stage_sees(&e, "all good");
    stage_close(&e);
}

static void jobs__the_one_under_the_cursor_ends__the_next_one_is_kept(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    session_delta(e.app.session, e.app.library, 1, 0);
    session_details(e.app.session, e.app.library, 1);
    session_verify(e.app.session, e.app.library, (const int[]){0}, 1);
    session_verify(e.app.session, e.app.library, NULL, 0);
    stage_press(&e, "5");
    stage_press(&e, "gj");
    stage_sees(&e, ">  details acm");
    stage_settle(&e); /* both questions end, in any order */
    stage_sees(&e, ">  verify acme/base");
    stage_close(&e);
}

/* As a process that is no more would have left it. */
static void leave_job(struct stage *e)
{
    struct ops *ops;
    AUTO_FREE char *what =
        mem_printf("{\"what\":\"compress\",\"models\":[\"%s\"],\"names\":[\"acme/x\"]}",
                   e->app.library->models[0].id);
    struct catalog_job job = {.what = what, .pid = 1, .born = 1, .added = 1};
    assert_int_equal(ops_open(&e->options, &ops, NULL), 0);
    assert_int_equal(catalog_put_job(ops->catalog, &job, NULL), 0);
    ops_close(ops);
}

static void jobs__left_after_one_was_done_here__can_be_resumed(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jc");
    stage_settle(&e);
    stage_press(&e, "y");
    stage_settle(&e);
    leave_job(&e);
    stage_press(&e, "5R");
    stage_settle(&e);
    stage_sees(&e, "compress acme/l31-sql-ft");
    stage_sees(&e, "resume: compress acme/x");
    stage_close(&e);
}

static void details__names_with_zero_bytes__stand_in_groups(void **state)
{
    (void)state;
    static const char header[] =
        "{\"x\\u0000a.p.1\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]},"
        "\"x\\u0000a.q\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[2,4]},"
        "\"x\\u0000a.p.2\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[4,6]}}";
    struct stage e;
    AUTO_BUF struct buf weights = test_safetensors(header, "abcdef", 6);
    stage_open(&e, 24, 80);
    free(test_hub_model(e.hub, "acme--odd", &weights, NULL));
    stage_scan(&e);
    stage_press(&e, "\n");
    stage_settle(&e);
    stage_sees(&e, "- x\\x00a ");
    stage_sees(&e, "  - p ");
    stage_sees(&e, "    1 ");
    stage_sees(&e, "    q ");
    stage_close(&e);
}

/* The answer to a question of the page that is open: an error. */
static void fail_details(struct stage *e)
{
    struct event *event = mem_zalloc(sizeof *event);
    event->kind = EVENT_DETAILS;
    event->job = e->app.page.asked;
    err_set(&event->err, ERR_NOTFOUND, "file 3 is not in the catalog");
    app_event(&e->app, event);
    app_draw(&e->app);
}

static void details__not_read_anew__close_nothing_that_is_whole(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "\n");
    stage_settle(&e);
    stage_press(&e, "f\n");
    details_follow(&e.app);
    fail_details(&e);
    stage_sees(&e, "file 3 is not in the catalog");
    stage_sees(&e, "reading it");
    stage_settle(&e);
    stage_press(&e, "\033\033\n/x");
    stage_sees(&e, "filter: x_");
    fail_details(&e); /* of one that was never there: back to the models, the prompt is gone */
    stage_sees(&e, "   NAME");
    assert_false(stage_shows(&e, "filter: "));
    stage_close(&e);
}

static void delta__b_after_a_change__knows_the_collection_as_it_is(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jd");
    stage_settle(&e);
    stage_press(&e, "1gjc");
    stage_settle(&e);
    stage_press(&e, "y"); /* the file is somewhere else from now on */
    stage_settle(&e);
    stage_press(&e, "4b\n");
    stage_sees(&e, "reading both models");
    stage_press(&e, "b");
    stage_sees(&e, "is not there yet");
    stage_settle(&e);
    stage_sees(&e, "is not there yet"); /* no error came in its place */
    stage_sees(&e, "acme/l31-sql-ft against acme/base");
    stage_close(&e);
}

static void delta__only_samples_were_read__says_so(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jd");
    stage_settle(&e);
    e.app.delta.report->sampled = true;
    e.app.delta.asked = e.app.delta.answered;
    app_draw(&e.app);
    stage_sees(&e, "all of it is being read");
    struct event *event = mem_zalloc(sizeof *event);
    event->kind = EVENT_DELTA;
    event->job = e.app.delta.asked;
    err_set(&event->err, ERR_CANCELLED, "stopped on request");
    app_event(&e.app, event);
    app_draw(&e.app);
    stage_sees(&e, "(of samples)");
    stage_close(&e);
}

static void jobs__resumed_twice__are_done_once(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    leave_job(&e);
    session_queue(e.app.session, false);
    stage_settle(&e);
    stage_sees(&e, "1 job was interrupted: 5 R goes on with it");
    stage_press(&e, "5");
    stage_sees(&e, "compress acme/x");
    stage_sees(&e, "interrupted: R goes on with it");
    stage_press(&e, "RR");
    stage_settle(&e);
    stage_sees(&e, "resume: compress acme/x");
    assert_int_equal(session_job_count(e.app.session), 1);
    stage_press(&e, "R");
    stage_settle(&e);
    stage_sees(&e, "no job was interrupted");
    stage_close(&e);
}

/* As many modules as tensors, each in a layer of its own. */
static void delta__thousands_of_modules_and_layers__are_drawn(void **state)
{
    (void)state;
    enum { TENSORS = 3000 };
    struct stage e;
    uint16_t weights[TENSORS];
    AUTO_BUF struct buf header = {0};
    test_weights(weights, TENSORS, NULL, 1);
    for (int i = 0; i < TENSORS; i++)
        buf_printf(&header,
                   "%c\"layers.%d.m%d.weight\":{\"dtype\":\"BF16\",\"shape\":[1],"
                   "\"data_offsets\":[%d,%d]}",
                   i ? ',' : '{', i, i, 2 * i, 2 * i + 2);
    buf_str(&header, "}");
    AUTO_BUF struct buf base = test_safetensors(header.data, weights, sizeof weights);
    weights[0] ^= 1;
    AUTO_BUF struct buf own = test_safetensors(header.data, weights, sizeof weights);
    stage_open(&e, 24, 80);
    free(test_hub_model(e.hub, "acme--base", &base, NULL));
    free(test_hub_model(e.hub, "acme--own", &own, NULL));
    stage_scan(&e);
    stage_press(&e, "ad");
    stage_settle(&e);
    stage_sees(&e, "(all)");
    stage_sees(&e, "layers.0.m0.weight");
    stage_press(&e, "G");
    stage_sees(&e, " > (others)");
    stage_sees(&e, "and others");
    stage_press(&e, "mmm");
    stage_close(&e);
}

static void canvas__bytes_that_nobody_escaped__do_not_reach_the_terminal(void **state)
{
    (void)state;
    struct canvas canvas = {0};
    canvas_resize(&canvas, 1, 20);
    canvas_put(&canvas, 0, 0, 20, ROLE_TEXT, "a\033[2J\x9b\xff\xc2\x9b\xe2\x80\xae b");
    AUTO_FREE char *row = canvas_row(&canvas, 0);
    assert_string_equal(row, "a?[2J???? b");
    canvas_release(&canvas);
}

/* What is gone is not mistaken for a model that bears its id as a name. */
static void library_find_id__a_name_like_an_id__is_another_model(void **state)
{
    (void)state;
    struct stage e;
    int model;
    setup(&e, 24, 80, true);
    AUTO_FREE char *id = mem_strdup(e.app.library->models[0].id);
    AUTO_FREE char *repo = mem_printf("x--%s", id);
    AUTO_BUF struct buf weights = test_model(100, 3, 0);
    assert_int_equal(library_find_id(e.app.library, id), 0);
    free(test_hub_model(e.hub, repo, &weights, NULL));
    test_remove(test_path(e.hub, "models--acme--base"));
    test_remove(test_path(e.hub, "models--acme--l31-sql-ft"));
    stage_scan(&e);
    assert_int_equal(library_find(e.app.library, id, &model, 1), 1); /* as people may write it */
    assert_int_equal(library_find_id(e.app.library, id), NO_MODEL);
    stage_close(&e);
}

static void prompt__a_long_text__shows_its_end(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "e\025");
    for (int i = 0; i < 30; i++)
        stage_press(&e, "folder/");
    stage_press(&e, "name.csv");
    stage_sees(&e, "/folder/name.csv_");
    stage_press(&e, "\033");
    stage_press(&e, "/");
    app_key(&e.app, 0x202e); /* turns the direction of what follows */
    stage_press(&e, "x\n");
    stage_sees(&e, "filter: \\u{202e}x");
    stage_close(&e);
}

static void copy__a_name_with_control_characters__is_not_copied(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    app_copy(&e.app, "rm -rf x\n");
    assert_null(e.app.copied);
    stage_press(&e, "y");
    assert_non_null(e.app.copied);
    stage_close(&e);
}

static void mouse__click_and_wheel__select_rows_tabs_and_cells(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    app_mouse(&e.app, 4, 10, 0);
    app_draw(&e.app);
    stage_sees(&e, " > acme/l31-sql-ft");
    app_mouse(&e.app, 4, 10, -1);
    app_draw(&e.app);
    stage_sees(&e, " > acme/base");
    stage_press(&e, "j\n");
    stage_settle(&e);
    app_mouse(&e.app, 8, 10, 0); /* the second line of the details */
    app_draw(&e.app);
    stage_sees(&e, " > norm.weight");
    stage_press(&e, "q"); /* back, not out */
    stage_sees(&e, " > acme/l31-sql-ft");
    assert_false(e.app.quit);
    stage_press(&e, "d");
    stage_settle(&e);
    app_mouse(&e.app, 7, 36, 0); /* the second module, the first layer */
    app_draw(&e.app);
    stage_sees(&e, " > weight");
    stage_sees(&e, "layers.0.weight  BF16");
    app_mouse(&e.app, 1, 3, 0);
    app_draw(&e.app);
    stage_sees(&e, "[1 Models]");
    stage_close(&e);
}

static const struct view {
    const char *keys; /* from the Models tab */
    const char *sees, *also;
} views[] = {{"", "[1 Models]", "   NAME"},
             {"2", "[2 Families]", "   FAMILY"},
             {"3", "[3 Duplicates]", "WASTED COPIES"},
             {"jd", "[4 Delta]", "MODULE by LAYER"},
             {"5", "[5 Jobs]", "   JOB"},
             {"\n", "[1 Models]", "   TENSOR"},
             {"o", "Overview", "File systems"},
             {"?", "Help", "scroll"},
             {"c", "Compress 1 model", "Cancel"}};

/* What stands out in colours stands out without them: by an attribute, or by a sign. */
static void assert_seen_without_colour(const struct stage *e)
{
    static const enum role telling[] = {ROLE_TITLE, ROLE_TAB_ACTIVE, ROLE_HEAD,        ROLE_CURSOR,
                                        ROLE_MARK,  ROLE_WARN,       ROLE_BAD,         ROLE_KEY,
                                        ROLE_BAR,   ROLE_MATCH,      ROLE_MATCH_CURSOR};
    for (size_t i = 0; i < COUNT_OF(telling); i++)
        assert_true(theme_look(SCHEME_MONO, telling[i], 8).attributes != 0);
    for (int i = 0; i < e->app.canvas.rows * e->app.canvas.columns; i++)
        assert_true(e->app.canvas.cells[i].role < ROLE_COUNT);
}

static void assert_ascii(const struct stage *e)
{
    for (int row = 0; row < e->app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&e->app.canvas, row);
        for (const char *p = line; *p; p++)
            assert_true((unsigned char)*p < 0x80);
    }
}

static void assert_frame(const struct stage *e)
{
    const struct canvas *c = &e->app.canvas;
    assert_int_equal(c->cells[c->columns - 1].role, ROLE_TITLE);
    int active = 0, cursors = 0;
    for (int i = 0; i < c->columns; i++)
        active += c->cells[c->columns + i].role == ROLE_TAB_ACTIVE;
    for (int row = 3; row < c->rows - 2; row++) {
        const struct cell *cells = &c->cells[row * c->columns];
        bool cursor = cells[0].role == ROLE_CURSOR;
        cursors += cursor;
        if (cursor) /* the cursor shows by a sign, too */
            assert_true(strchr(">*-", *cells[1].text) && *cells[1].text);
    }
    assert_true(active > 5 && cursors <= 1);
}

static void screen__every_view__is_whole_at_every_size_with_and_without_utf8(void **state)
{
    (void)state;
    static const int sizes[][2] = {{24, 80}, {40, 120}, {60, 200}};
    struct stage e;
    setup(&e, 24, 80, true);
    AUTO_BUF struct buf same = test_model(60000, 1, 0);
    free(test_hub_model(e.hub, "acme--wide-\xe6\xa8\xa1\xe5\x9e\x8b-e\xcc\x81", &same, NULL));
    stage_scan(&e);
    for (size_t s = 0; s < COUNT_OF(sizes) * 2; s++) {
        text_set_utf8(s % 2 == 0);
        stage_resize(&e, sizes[s / 2][0], sizes[s / 2][1]);
        for (size_t v = 0; v < COUNT_OF(views); v++) {
            stage_press(&e, "\033\033\03311g");
            stage_press(&e, views[v].keys);
            stage_settle(&e);
            stage_sees(&e, views[v].sees);
            stage_sees(&e, views[v].also);
            assert_seen_without_colour(&e);
            if (!e.app.overlay)
                assert_frame(&e);
            if (s % 2)
                assert_ascii(&e);
        }
    }
    text_set_utf8(true);
    stage_press(&e, "\033\033\03311g");
    stage_sees(&e, "\xe6\xa8\xa1\xe5\x9e\x8b-e\xcc\x81");
    stage_close(&e);
}

static void plan__enter_and_escape__cancel(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "c");
    stage_settle(&e);
    stage_sees(&e, "Compress 1 model   store");
    stage_sees(&e, "[ Cancel ]");
    stage_press(&e, "\n");
    assert_false(stage_shows(&e, "Cancel"));
    stage_press(&e, "c");
    stage_settle(&e);
    stage_press(&e, "\033");
    assert_int_equal(session_job_count(e.app.session), 0);
    stage_close(&e);
}

static void plan__y__compresses_and_x_brings_back(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "j");
    stage_press(&e, "c");
    stage_settle(&e);
    stage_sees(&e, "delta against acme/base");
    stage_press(&e, "y");
    stage_settle(&e);
    stage_sees(&e, "packed");
    stage_press(&e, "5");
    stage_sees(&e, "compress acme/l31-sql-ft");
    stage_sees(&e, "done       freed ");
    stage_press(&e, "\n");
    stage_sees(&e, "acme/l31-sql-ft: 1 file");
    stage_press(&e, "\0331x");
    stage_settle(&e);
    assert_false(stage_shows(&e, "packed"));
    stage_close(&e);
}

static void delete__capital_y_alone__deletes(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jD");
    stage_settle(&e);
    stage_sees(&e, "Delete 1 model for good");
    stage_sees(&e, "acme/l31-sql-ft");
    stage_sees(&e, "nothing of it can be brought back");
    stage_press(&e, "y");
    stage_sees(&e, "Delete 1 model for good");
    stage_press(&e, "\n");
    assert_false(stage_shows(&e, "for good"));
    stage_settle(&e);
    stage_sees(&e, "tare  2 models");
    stage_press(&e, "D");
    stage_settle(&e);
    stage_press(&e, "Y");
    stage_settle(&e);
    stage_sees(&e, "tare  1 model  ");
    assert_false(test_exists(e.hub, "models--acme--l31-sql-ft"));
    stage_press(&e, "kD"); /* the base */
    stage_settle(&e);
    stage_press(&e, "\033");
    stage_press(&e, "5");
    stage_sees(&e, "delete acme/l31-sql-ft");
    stage_sees(&e, "done");
    stage_close(&e);
}

static void help__question_mark__lists_what_is_valid_here(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 40, 100, true);
    stage_press(&e, "?");
    stage_sees(&e, "mark and move on");
    stage_press(&e, "\0335?");
    stage_sees(&e, "stop after the file in flight");
    assert_false(stage_shows(&e, "mark and move on"));
    stage_close(&e);
}

static void first_run__nothing_found__says_where_it_looked(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, false);
    stage_sees(&e, "No models found");
    stage_sees(&e, "HF_HUB_CACHE");
    stage_press(&e, "c x a*Ut\n");
    stage_close(&e);
}

static void screen__every_size__draws_without_overflow(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 24, 80, true);
    stage_press(&e, "jd");
    stage_settle(&e);
    for (int rows = 1; rows < 40; rows += 3) {
        for (int columns = 1; columns < 140; columns += 7) {
            canvas_resize(&e.app.canvas, rows, columns);
            app_draw(&e.app);
            stage_press(&e, "?");
            stage_press(&e, "\033");
            stage_press(&e, "2");
            stage_press(&e, "4");
            stage_press(&e, "1");
        }
    }
    canvas_resize(&e.app.canvas, 3, 10);
    app_draw(&e.app);
    stage_sees(&e, "too small");
    stage_close(&e);
}

static void screen__ascii_locale__has_only_ascii(void **state)
{
    (void)state;
    struct stage e;
    setup(&e, 48, 160, true);
    text_set_utf8(false);
    stage_press(&e, "?");
    for (int row = 0; row < e.app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&e.app.canvas, row);
        for (const char *p = line; *p; p++)
            assert_true((unsigned char)*p < 0x80);
    }
    text_set_utf8(true);
    stage_close(&e);
}

static void theme__mono__keeps_cursor_and_bars_visible(void **state)
{
    (void)state;
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct look look = theme_look(SCHEME_MONO, (enum role)role, 8);
        assert_int_equal(look.fore, -1);
        assert_int_equal(look.back, -1);
    }
    assert_true(theme_look(SCHEME_MONO, ROLE_CURSOR, 8).attributes & LOOK_REVERSE);
}

static void list__moves__stay_inside(void **state)
{
    (void)state;
    struct list list = {0};
    list_set_height(&list, 5);
    list_set_count(&list, 12);
    list_move(&list, 100);
    assert_int_equal(list.cursor, 11);
    assert_int_equal(list.top, 7);
    list_set_count(&list, 3);
    assert_int_equal(list.cursor, 2);
    assert_int_equal(list.top, 0);
    list_set_count(&list, 0);
    list_move(&list, -1);
    assert_int_equal(list.cursor, 0);
}

static void bindings__no_key_means_two_things_in_one_place(void **state)
{
    (void)state;
    for (size_t a = 0; a < binding_count; a++)
        for (size_t b = a + 1; b < binding_count; b++)
            for (int i = 0; i < KEYS_MOST && bindings[a].keys[i]; i++)
                for (int k = 0; k < KEYS_MOST && bindings[b].keys[k]; k++)
                    if (bindings[a].where & bindings[b].where)
                        assert_int_not_equal(bindings[a].keys[i], bindings[b].keys[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models__opened__show_rows_tabs_and_keys),
        cmocka_unit_test(models__wide_terminal__has_a_details_pane),
        cmocka_unit_test(models__filter_and_sort__change_the_rows),
        cmocka_unit_test(models__marks__are_summed_in_the_footer),
        cmocka_unit_test(families__opened__show_trees_and_how_they_are_known),
        cmocka_unit_test(families__collapsed__stand_for_all_below),
        cmocka_unit_test(families__enter_on_a_model__shows_it_in_the_list_and_back),
        cmocka_unit_test(delta__d_on_a_fine_tune__shows_what_differs_by_layer),
        cmocka_unit_test(duplicates__equal_tensors_and_files__are_listed_with_their_places),
        cmocka_unit_test(details__enter_on_a_model__shows_tensors_files_and_lineage),
        cmocka_unit_test(details__enter_on_a_tensor__shows_its_numbers_and_places),
        cmocka_unit_test(details__history__tells_what_was_done),
        cmocka_unit_test(overview__o__says_what_can_be_freed_and_how),
        cmocka_unit_test(export__e__writes_what_is_shown),
        cmocka_unit_test(search__matches__stand_out_in_every_list),
        cmocka_unit_test(delta__b__compares_with_another_base),
        cmocka_unit_test(screen__every_view__is_whole_at_every_size_with_and_without_utf8),
        cmocka_unit_test(mouse__click_and_wheel__select_rows_tabs_and_cells),
        cmocka_unit_test(screen__models_go_away__what_is_open_stays_whole),
        cmocka_unit_test(details__a_tensor_that_cannot_be_read__says_why),
        cmocka_unit_test(plan__asked_twice__shows_the_second),
        cmocka_unit_test(delta__cancelled_as_a_job__is_not_waited_for),
        cmocka_unit_test(delta__thousands_of_modules_and_layers__are_drawn),
        cmocka_unit_test(jobs__a_question_is_answered__the_cursor_stays_on_its_job),
        cmocka_unit_test(jobs__the_one_under_the_cursor_ends__the_next_one_is_kept),
        cmocka_unit_test(jobs__resumed_twice__are_done_once),
        cmocka_unit_test(jobs__left_after_one_was_done_here__can_be_resumed),
        cmocka_unit_test(details__names_with_zero_bytes__stand_in_groups),
        cmocka_unit_test(details__not_read_anew__close_nothing_that_is_whole),
        cmocka_unit_test(delta__b_after_a_change__knows_the_collection_as_it_is),
        cmocka_unit_test(delta__only_samples_were_read__says_so),
        cmocka_unit_test(canvas__bytes_that_nobody_escaped__do_not_reach_the_terminal),
        cmocka_unit_test(prompt__a_long_text__shows_its_end),
        cmocka_unit_test(library_find_id__a_name_like_an_id__is_another_model),
        cmocka_unit_test(copy__a_name_with_control_characters__is_not_copied),
        cmocka_unit_test(plan__enter_and_escape__cancel),
        cmocka_unit_test(plan__y__compresses_and_x_brings_back),
        cmocka_unit_test(delete__capital_y_alone__deletes),
        cmocka_unit_test(help__question_mark__lists_what_is_valid_here),
        cmocka_unit_test(first_run__nothing_found__says_where_it_looked),
        cmocka_unit_test(screen__every_size__draws_without_overflow),
        cmocka_unit_test(screen__ascii_locale__has_only_ascii),
        cmocka_unit_test(theme__mono__keeps_cursor_and_bars_visible),
        cmocka_unit_test(list__moves__stay_inside),
        cmocka_unit_test(bindings__no_key_means_two_things_in_one_place),
    };
    setlocale(LC_ALL, "C.UTF-8");
    char *home = test_home();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_remove(home);
    return failed;
}
