/* SPDX-License-Identifier: MIT */
/* Keys in, text out: the explorer on a canvas, without a terminal. */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "base/text.h"
#include "ui/kit/list.h"
#include "ui/screens/screens.h"
#include "ui/kit/theme.h"

#include <locale.h>
#include <poll.h>
#include <string.h>

struct explorer {
    char *dir, *hub, *store, *catalog;
    const char *roots[2];
    struct ops_options options;
    struct app app;
};

/* Takes events until nothing runs any more. */
static void settle(struct explorer *e)
{
    bool busy = true;
    while (busy) {
        struct pollfd wait = {.fd = session_fd(e->app.session), .events = POLLIN};
        (void)poll(&wait, 1, 100);
        for (struct event *event; (event = session_next(e->app.session));)
            app_event(&e->app, event);
        busy = app_waits(&e->app) ||
               session_busy(e->app.session);
    }
    app_draw(&e->app);
}

static void add_models(const char *hub)
{
    static const char card[] = "---\nbase_model: acme/base\n---\n";
    AUTO_BUF struct buf base = test_model(60000, 1, 0), one = test_model(60000, 1, 2);
    free(test_hub_model(hub, "acme--base", &base, NULL));
    free(test_hub_model(hub, "acme--l31-sql-ft", &one, card));
}

static void setup(struct explorer *e, int rows, int columns, bool models)
{
    *e = (struct explorer){.dir = test_folder()};
    e->hub = test_path(e->dir, "hub");
    e->store = test_path(e->dir, "store");
    e->catalog = test_path(e->dir, "catalog.db");
    assert_int_equal(file_make_dirs(e->hub, NULL), 0);
    if (models)
        add_models(e->hub);
    e->roots[0] = e->hub;
    e->options = (struct ops_options){
        .catalog = e->catalog, .store = e->store, .threads = 2, .scope = e->roots};
    e->app = (struct app){.sort = VIEW_NAME,
                          .details = true,
                          .scanning = true,
                          .hub = e->hub,
                          .duplicates = {.open = -1}};
    e->app.session = session_new(&e->options);
    canvas_resize(&e->app.canvas, rows, columns);
    session_scan(e->app.session, e->roots);
    settle(e);
}

static void teardown(struct explorer *e)
{
    session_free(e->app.session);
    app_release(&e->app);
    free(e->hub);
    free(e->store);
    free(e->catalog);
    test_remove(e->dir);
}

static void press(struct explorer *e, const char *keys)
{
    for (; *keys; keys++)
        app_key(&e->app, *keys == '\n'     ? (int)KEY_ENTER_
                         : *keys == '\033' ? (int)KEY_ESCAPE
                                           : *keys);
    app_draw(&e->app);
}

static bool shows(struct explorer *e, const char *text)
{
    for (int row = 0; row < e->app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&e->app.canvas, row);
        if (strstr(line, text))
            return true;
    }
    return false;
}

static void assert_shows(struct explorer *e, const char *text)
{
    if (shows(e, text))
        return;
    for (int row = 0; row < e->app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&e->app.canvas, row);
        print_message("%s\n", line);
    }
    fail_msg("the screen does not show: %s", text);
}

static void models__opened__show_rows_tabs_and_keys(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    assert_shows(&e, " tare  2 models");
    assert_shows(&e, "[1 Models] 2 Families  3 Duplicates  4 Delta  5 Jobs");
    assert_shows(&e, "   NAME");
    assert_shows(&e, " > acme/base");
    assert_shows(&e, "   acme/l31-sql-ft");
    assert_shows(&e, "sorted by NAME");
    assert_shows(&e, " c compress  x decompress");
    assert_false(shows(&e, "revision")); /* the details need 120 columns */
    teardown(&e);
}

static void models__wide_terminal__has_a_details_pane(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 48, 160, true);
    press(&e, "j");
    assert_shows(&e, "revision");
    assert_shows(&e, "finetune   acme/base");
    press(&e, "i");
    assert_false(shows(&e, "revision"));
    teardown(&e);
}

static void models__filter_and_sort__change_the_rows(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    press(&e, "/SQL");
    assert_shows(&e, "filter: SQL");
    assert_false(shows(&e, "acme/base "));
    press(&e, "\n\033");
    assert_shows(&e, "acme/base");
    press(&e, "sn");
    assert_shows(&e, "sorted by NAME (reversed)");
    press(&e, "ss");
    assert_shows(&e, "sorted by SIZE");
    teardown(&e);
}

static void models__marks__are_summed_in_the_footer(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    press(&e, " ");
    assert_shows(&e, "1 marked: frees about ");
    assert_shows(&e, " * acme/base");
    press(&e, "a");
    assert_shows(&e, "2 marked");
    press(&e, "U");
    assert_false(shows(&e, "marked"));
    teardown(&e);
}

/* A family of three, one of which claims what the bits deny, and a lone model of an absent base. */
static void setup_family(struct explorer *e, int rows, int columns)
{
    static const char lone_card[] = "---\nbase_model: else/where\n---\n";
    static const char false_card[] = "---\nbase_model: acme/lone\n---\n";
    setup(e, rows, columns, true);
    AUTO_BUF struct buf lone = test_model(60000, 9, 0), liar = test_model(60000, 1, 1234);
    free(test_hub_model(e->hub, "acme--lone", &lone, lone_card));
    free(test_hub_model(e->hub, "acme--liar", &liar, false_card));
    session_scan(e->app.session, e->roots);
    settle(e);
    press(e, "2");
}

static void families__opened__show_trees_and_how_they_are_known(void **state)
{
    (void)state;
    struct explorer e;
    setup_family(&e, 24, 80);
    assert_shows(&e, " 1 Models [2 Families] 3 Duplicates  4 Delta  5 Jobs");
    assert_shows(&e, " acme/base");
    assert_shows(&e, "└─ liar");
    assert_shows(&e, "bits !card");
    assert_shows(&e, "├─ l31-sql-ft");
    assert_shows(&e, "finetune   1.4/16 card bits");
    assert_shows(&e, "card bits");
    assert_shows(&e, "else/where                     not here");
    assert_shows(&e, "└─ acme/lone");
    press(&e, "/liar\n");
    assert_shows(&e, "acme/base"); /* what it hangs under stays */
    assert_false(shows(&e, "acme/lone"));
    press(&e, "\033g");
    press(&e, "jj");
    assert_shows(&e, "claims acme/lone: the bits say no");
    teardown(&e);
}

static void families__collapsed__stand_for_all_below(void **state)
{
    (void)state;
    struct explorer e;
    setup_family(&e, 24, 80);
    press(&e, "gh");
    assert_shows(&e, "+ acme/base");
    assert_false(shows(&e, "liar  "));
    press(&e, "c");
    settle(&e);
    assert_shows(&e, "Compress 3 models");
    press(&e, "\033\n");
    assert_shows(&e, "liar  ");
    press(&e, "t");
    assert_shows(&e, "3 marked");
    press(&e, "t");
    assert_false(shows(&e, "marked"));
    teardown(&e);
}

static void families__enter_on_a_model__shows_it_in_the_list_and_back(void **state)
{
    (void)state;
    struct explorer e;
    setup_family(&e, 24, 80);
    press(&e, "gj\n");
    assert_shows(&e, "[1 Models]");
    assert_shows(&e, " > acme/l");
    press(&e, "g");
    press(&e, "2");
    assert_shows(&e, "[2 Families]");
    assert_shows(&e, " > acme/base");
    teardown(&e);
}

static void delta__d_on_a_fine_tune__shows_what_differs_by_layer(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    press(&e, "jd");
    settle(&e);
    assert_shows(&e, "[4 Delta]");
    assert_shows(&e, "acme/l31-sql-ft against acme/base");
    assert_shows(&e, "MODULE by LAYER");
    assert_shows(&e, "% unchanged  differs 1.4");
    assert_shows(&e, "flips  sign [");
    assert_shows(&e, "changed: 0 to ");
    press(&e, "m");
    assert_shows(&e, "bits that differ: 0 to ");
    press(&e, "mlljjhkgG");
    assert_shows(&e, "relative change: 0 to ");
    press(&e, "\033");
    assert_shows(&e, "[1 Models]");
    press(&e, "kd");
    assert_shows(&e, "no parent of it is known");
    press(&e, "ad");
    settle(&e);
    assert_shows(&e, "acme/l31-sql-ft against acme/base");
    teardown(&e);
}

static void duplicates__equal_tensors_and_files__are_listed_with_their_places(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 100, true);
    AUTO_BUF struct buf same = test_model(60000, 1, 0);
    free(test_hub_model(e.hub, "acme--copy", &same, NULL));
    session_scan(e.app.session, e.roots);
    settle(&e);
    press(&e, "3");
    settle(&e);
    assert_shows(&e, "[3 Duplicates]");
    assert_shows(&e, "WASTED COPIES   EACH");
    assert_shows(&e, " 2 ");
    assert_shows(&e, "the files are equal");
    press(&e, "\n");
    assert_shows(&e, "acme/copy");
    press(&e, "f");
    assert_shows(&e, "in all; tensors");
    press(&e, "f");
    assert_shows(&e, "in all; files");
    press(&e, "\nj\n");
    assert_shows(&e, "[1 Models]");
    teardown(&e);
}

static void plan__enter_and_escape__cancel(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    press(&e, "c");
    settle(&e);
    assert_shows(&e, "Compress 1 model   store");
    assert_shows(&e, "[ Cancel ]");
    press(&e, "\n");
    assert_false(shows(&e, "Cancel"));
    press(&e, "c");
    settle(&e);
    press(&e, "\033");
    assert_int_equal(session_job_count(e.app.session), 0);
    teardown(&e);
}

static void plan__y__compresses_and_x_brings_back(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    press(&e, "j");
    press(&e, "c");
    settle(&e);
    assert_shows(&e, "delta against acme/base");
    press(&e, "y");
    settle(&e);
    assert_shows(&e, "packed");
    press(&e, "5");
    assert_shows(&e, "compress acme/l31-sql-ft");
    assert_shows(&e, "done       freed ");
    press(&e, "\n");
    assert_shows(&e, "acme/l31-sql-ft: 1 file");
    press(&e, "\0331x");
    settle(&e);
    assert_false(shows(&e, "packed"));
    teardown(&e);
}

static void delete__capital_y_alone__deletes(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    press(&e, "jD");
    settle(&e);
    assert_shows(&e, "Delete 1 model for good");
    assert_shows(&e, "acme/l31-sql-ft");
    assert_shows(&e, "nothing of it can be brought back");
    press(&e, "y");
    assert_shows(&e, "Delete 1 model for good");
    press(&e, "\n");
    assert_false(shows(&e, "for good"));
    settle(&e);
    assert_shows(&e, "tare  2 models");
    press(&e, "D");
    settle(&e);
    press(&e, "Y");
    settle(&e);
    assert_shows(&e, "tare  1 models");
    assert_false(test_exists(e.hub, "models--acme--l31-sql-ft"));
    press(&e, "kD"); /* the base */
    settle(&e);
    press(&e, "\033");
    press(&e, "5");
    assert_shows(&e, "delete acme/l31-sql-ft");
    assert_shows(&e, "done");
    teardown(&e);
}

static void help__question_mark__lists_what_is_valid_here(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 40, 100, true);
    press(&e, "?");
    assert_shows(&e, "mark and move on");
    press(&e, "\0335?");
    assert_shows(&e, "stop after the file in flight");
    assert_false(shows(&e, "mark and move on"));
    teardown(&e);
}

static void first_run__nothing_found__says_where_it_looked(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, false);
    assert_shows(&e, "No models found");
    assert_shows(&e, "HF_HUB_CACHE");
    press(&e, "c x a*Ut\n");
    teardown(&e);
}

static void screen__every_size__draws_without_overflow(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 24, 80, true);
    press(&e, "jd");
    settle(&e);
    for (int rows = 1; rows < 40; rows += 3) {
        for (int columns = 1; columns < 140; columns += 7) {
            canvas_resize(&e.app.canvas, rows, columns);
            app_draw(&e.app);
            press(&e, "?");
            press(&e, "\033");
            press(&e, "2");
            press(&e, "4");
            press(&e, "1");
        }
    }
    canvas_resize(&e.app.canvas, 3, 10);
    app_draw(&e.app);
    assert_shows(&e, "too small");
    teardown(&e);
}

static void screen__ascii_locale__has_only_ascii(void **state)
{
    (void)state;
    struct explorer e;
    setup(&e, 48, 160, true);
    text_set_utf8(false);
    press(&e, "?");
    for (int row = 0; row < e.app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&e.app.canvas, row);
        for (const char *p = line; *p; p++)
            assert_true((unsigned char)*p < 0x80);
    }
    text_set_utf8(true);
    teardown(&e);
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
