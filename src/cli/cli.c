/* SPDX-License-Identifier: MIT */
/* The command line: options, dispatch, and what the commands share. */
#include "cli/cli.h"

#include "base/text.h"
#include "jobs/job.h"
#include "ops/scan.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define COMPRESS_OPTIONS                                                                           \
    (OPT_BASE | OPT_INCLUDE_BASE | OPT_LIVE | OPT_FAMILY | OPT_SHARED | OPT_NOW)

const struct command cli_commands[] = {
    {"scan", "[PATH...] [--headers] [--forget PATH]",
     "index models; PATHs are remembered as places to look", OPT_HEADERS | OPT_FORGET, 0, SIZE_MAX,
     cli_scan, false},
    {"list", "[--sort KEY] [--filter TEXT]", "models, what they weigh and what they would free",
     OPT_SORT | OPT_FILTER, 0, 0, cli_list, false},
    {"show", "MODEL [--exact] [--tensor NAME]",
     "files, tensors, lineage and state of one model, or one tensor of it", OPT_EXACT | OPT_TENSOR,
     1, 1, cli_show, false},
    {"tree", "", "families: who descends from whom, and how that is known", 0, 0, 0, cli_tree,
     false},
    {"duplicates", "[--files]", "what is stored more than once, and what that wastes", OPT_FILES, 0,
     0, cli_duplicates, false},
    {"overview", "", "what is there, and what can be freed by doing what", 0, 0, 0, cli_overview,
     false},
    {"report", "[--by family|dtype|state|age|owner|root] [--format text|markdown|csv]",
     "what eats the disk, summed", OPT_BY | OPT_FORMAT, 0, 0, cli_report, false},
    {"delta", "MODEL [BASE]", "what differs between a model and its base, layer by layer", 0, 1, 2,
     cli_delta, false},
    {"plan", "MODEL... | --all", "what compress would do, and give",
     COMPRESS_OPTIONS | OPT_ALL | OPT_KEEP, 0, SIZE_MAX, cli_plan, false},
    {"compress",
     "MODEL... | --all [--family] [--yes] [--keep] [--base MODEL] [--include-base] [--live] "
     "[--shared] [--now]",
     "store models compressed, losslessly", COMPRESS_OPTIONS | OPT_ALL | OPT_YES | OPT_KEEP, 0,
     SIZE_MAX, cli_compress, false},
    {"decompress", "MODEL... | --all [--family] [--yes] [--to DIR]",
     "give models back, byte for byte", OPT_ALL | OPT_YES | OPT_TO | OPT_FAMILY, 0, SIZE_MAX,
     cli_decompress, false},
    {"optimize", "[MODEL...] [--yes]", "store anew what has a better base by now",
     OPT_ALL | OPT_YES, 0, SIZE_MAX, cli_optimize, false},
    {"delete", "MODEL... [--yes] [--live]", "remove models for good, stored or not",
     OPT_YES | OPT_LIVE, 1, SIZE_MAX, cli_delete, false},
    {"verify", "[MODEL...] [--deep] [--subset K/N] [--budget SIZE] [--rate SIZE] [--repair]",
     "read and check what is stored, all of it or a part",
     OPT_REPAIR | OPT_DEEP | OPT_SUBSET | OPT_BUDGET | OPT_RATE, 0, SIZE_MAX, cli_verify, false},
    {"gc", "[--dry-run]", "remove what nothing needs any more", OPT_DRY_RUN, 0, 0, cli_gc, false},
    {"trust", "[DIR [--revoke] [--yes]]",
     "use the store DIR of another user, or list those that you trust", OPT_REVOKE | OPT_YES, 0, 1,
     cli_trust, false},
    {"jobs", "[--resume | --clear]", "work that was interrupted; --resume does it",
     OPT_RESUME | OPT_CLEAR, 0, 0, cli_jobs, false},
    {"log", "", "what was done, when, and what it gave", 0, 0, 0, cli_log, false},
    {"bench", "FILE [--base FILE] [--codec NAME] [--threads N]",
     "what each codec makes of a file, beside its bound, and how fast", OPT_BASE | OPT_CODEC, 1, 1,
     cli_bench, false},
    {"doctor", "", "versions, places, and what is missing on this machine", 0, 0, 0, cli_doctor,
     false},
    {"help", "[COMMAND | TOPIC]", "this, one command, or a page about something", 0, 0, 1, cli_help,
     true},
    {"completion", "bash|zsh|fish", "a script by which a shell completes tare's words", 0, 1, 1,
     cli_completion, true},
    {"version", "", "the version", 0, 0, 0, cli_version, true},
};
const size_t cli_command_count = COUNT_OF(cli_commands);

enum {
    LONG_FIRST = 256,
    LONG_STORE,
    LONG_CATALOG,
    LONG_READONLY,
    LONG_WAIT,
    LONG_WRITE,
    LONG_VERSION,
    LONG_OPT
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, LONG_VERSION},
    {"store", required_argument, NULL, LONG_STORE},
    {"catalog", required_argument, NULL, LONG_CATALOG},
    {"threads", required_argument, NULL, 't'},
    {"readonly", no_argument, NULL, LONG_READONLY},
    {"wait", no_argument, NULL, LONG_WAIT},
    {"write", no_argument, NULL, LONG_WRITE},
    {"headers", no_argument, NULL, LONG_OPT + 0},
    {"forget", required_argument, NULL, LONG_OPT + 1},
    {"sort", required_argument, NULL, LONG_OPT + 2},
    {"filter", required_argument, NULL, LONG_OPT + 3},
    {"all", no_argument, NULL, LONG_OPT + 4},
    {"yes", no_argument, NULL, LONG_OPT + 5},
    {"keep", no_argument, NULL, LONG_OPT + 6},
    {"base", required_argument, NULL, LONG_OPT + 7},
    {"include-base", no_argument, NULL, LONG_OPT + 8},
    {"live", no_argument, NULL, LONG_OPT + 9},
    {"to", required_argument, NULL, LONG_OPT + 10},
    {"dry-run", no_argument, NULL, LONG_OPT + 11},
    {"codec", required_argument, NULL, LONG_OPT + 12},
    {"repair", no_argument, NULL, LONG_OPT + 13},
    {"resume", no_argument, NULL, LONG_OPT + 14},
    {"clear", no_argument, NULL, LONG_OPT + 15},
    {"family", no_argument, NULL, LONG_OPT + 16},
    {"exact", no_argument, NULL, LONG_OPT + 17},
    {"files", no_argument, NULL, LONG_OPT + 18},
    {"by", required_argument, NULL, LONG_OPT + 19},
    {"format", required_argument, NULL, LONG_OPT + 20},
    {"tensor", required_argument, NULL, LONG_OPT + 21},
    {"shared", no_argument, NULL, LONG_OPT + 22},
    {"revoke", no_argument, NULL, LONG_OPT + 23},
    {"deep", no_argument, NULL, LONG_OPT + 24},
    {"subset", required_argument, NULL, LONG_OPT + 25},
    {"budget", required_argument, NULL, LONG_OPT + 26},
    {"rate", required_argument, NULL, LONG_OPT + 27},
    {"now", no_argument, NULL, LONG_OPT + 28},
    {NULL, 0, NULL, 0},
};

void cli_each_option(const struct command *command, void (*found)(void *context, const char *name),
                     void *context)
{
    for (const struct option *o = long_options; o->name; o++)
        if (o->val < LONG_OPT || command->options & 1u << (o->val - LONG_OPT))
            found(context, o->name);
}

static atomic_bool interrupted;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

int cli_fail(const struct err *err)
{
    AUTO_FREE char *safe = text_safe(err->text);
    fprintf(stderr, "tare: %s\n", safe);
    switch (err->code) {
    case ERR_CANCELLED:
        return EXIT_INTERRUPTED;
    case ERR_USAGE:
    case ERR_AMBIGUOUS:
        return EXIT_USAGE;
    case ERR_NOTFOUND:
        return EXIT_NO_MODEL;
    default:
        return EXIT_FAILED;
    }
}

void cli_notes(struct buf *notes)
{
    char *save = NULL;
    for (char *line = notes->len ? strtok_r(notes->data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        AUTO_FREE char *safe = text_safe(line);
        fprintf(stderr, "tare: %s\n", safe);
    }
    notes->len = 0;
}

void cli_print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO_FREE char *text = mem_vprintf(format, args);
    va_end(args);
    size_t n = strlen(text);
    bool line = n && text[n - 1] == '\n';
    AUTO_BUF struct buf safe = {0};
    text_escape(&safe, text, n - line);
    fwrite(safe.data, 1, safe.len, stdout);
    if (line)
        putchar('\n');
}

void cli_print_json(js *document)
{
    AUTO_BUF struct buf text = {0};
    js_write(document, &text);
    js_free(document);
    for (size_t i = 0; i < text.len;) {
        uint32_t c;
        size_t n = text_decode(text.data + i, text.len - i, &c);
        if (n < 2 && c != 0x7f)
            putchar(text.data[i]);
        else if (!text_is_dangerous(c))
            fwrite(text.data + i, 1, n, stdout);
        else if (c < 0x10000)
            printf("\\u%04x", c);
        else
            printf("\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
        i += n ? n : 1;
    }
    putchar('\n');
}

struct running {
    int (*run)(void *context, struct progress *progress);
    void *context;
    int result;
};

static void *run_thread(void *context, struct progress *progress)
{
    struct running *running = context;
    running->result = running->run(running->context, progress);
    return running;
}

static void draw_bar(struct progress *progress, double seconds)
{
    uint64_t done = progress->done, total = progress->total;
    const char *phase = progress->phase;
    char have[16], all[16], left[32], speed[16];
    enum { WIDTH = 24 };
    int filled = total ? (int)((double)MIN(done, total) / (double)total * WIDTH) : 0;
    text_size(have, done);
    text_size(all, total);
    text_size(speed, seconds > 0 ? (uint64_t)((double)done / seconds) : 0);
    text_duration(left, done ? seconds * (double)(total - MIN(done, total)) / (double)done : 0);
    fprintf(stderr, "\r\033[K%s", phase ? phase : "");
    if (total)
        fprintf(stderr, " [%.*s%.*s] %s/%s %s/s, %s left", filled, "########################",
                WIDTH - filled, "                        ", have, all, speed, left);
    fflush(stderr);
}

int cli_run(struct cli *cli, int (*run)(void *context, struct progress *progress), void *context)
{
    struct running running = {.run = run, .context = context};
    struct results *results = results_new();
    const char *terminal = getenv("TERM");
    bool bar = !cli->quiet && isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    struct sigaction action = {.sa_handler = on_signal};
    const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        sigaction(signals[i], &action, NULL);
    double start = ops_now();
    struct job *job = job_start(run_thread, &running, results);
    struct pollfd wait = {.fd = results_fd(results), .events = POLLIN};
    bool drawn = false;
    while (poll(&wait, 1, 100) <= 0) {
        if (atomic_load(&interrupted))
            job_cancel(job);
        if (bar && ops_now() - start > 0.3) {
            draw_bar(job_progress(job), ops_now() - start);
            drawn = true;
        }
    }
    if (drawn)
        fputs("\r\033[K", stderr);
    job_free(job);
    results_free(results);
    return running.result;
}

int cli_models(struct cli *cli, const struct library *library, bool all, int **ret,
               size_t *ret_count, struct err *err)
{
    size_t count = all ? library->model_count : cli->arg_count;
    AUTO_FREE int *models = mem_zalloc((count + 1) * sizeof *models);
    for (size_t i = 0; i < count; i++) {
        models[i] = (int)i;
        int r = all ? 0 : ops_find_model(library, cli->args[i], &models[i], err);
        if (r < 0)
            return r;
    }
    *ret_count = count;
    *ret = TAKE_PTR(models);
    return 0;
}

struct first_scan {
    struct cli *cli;
    struct err *err;
};

static int scan_headers(void *context, struct progress *progress)
{
    struct first_scan *first = context;
    const struct scan_request request = {.paths = first->cli->options.scope, .headers_only = true};
    struct scan_report report;
    int r = ops_scan(first->cli->ops, &request, progress, &report, first->err);
    scan_report_release(&report);
    return r;
}

int cli_library(struct cli *cli, struct library **ret, struct err *err)
{
    struct first_scan first = {cli, err};
    int r = ops_library(cli->ops, ret, err);
    if (r < 0 || (*ret)->model_count)
        return r;
    library_unref(*ret);
    r = cli_run(cli, scan_headers, &first);
    if (r == 0)
        r = ops_library(cli->ops, ret, err);
    if (r < 0 || (*ret)->model_count || ops_index_is_kept(cli->ops))
        return r;
    library_unref(*ret);
    *ret = NULL;
    return err_set(err, ERR_IO,
                   "the index cannot be used, so that nothing is known of models outside of the "
                   "hub cache: make it readable and writable, or name another one with --catalog");
}

static const struct command *find_command(const char *word)
{
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].name, word) == 0)
            return &cli_commands[i];
    return NULL;
}

bool cli_is_command(const char *word)
{
    return find_command(word) != NULL;
}

static int usage(const char *format, const char *word)
{
    struct err err;
    err_set(&err, ERR_USAGE, format, word);
    return cli_fail(&err);
}

/* Under sudo nothing of other people's files is changed unless that is asked for. */
static bool under_sudo(void)
{
    const char *uid = getenv("SUDO_UID");
    return geteuid() == 0 && uid && strcmp(uid, "0") != 0;
}

static int take_option(struct cli *cli, int c)
{
    char *end;
    const struct {
        int bit;
        const char **value;
    } values[] = {
        {OPT_FORGET, &cli->forget}, {OPT_SORT, &cli->sort},     {OPT_FILTER, &cli->filter},
        {OPT_BASE, &cli->base},     {OPT_TO, &cli->to},         {OPT_CODEC, &cli->codec},
        {OPT_BY, &cli->by},         {OPT_FORMAT, &cli->format}, {OPT_TENSOR, &cli->tensor},
        {OPT_SUBSET, &cli->subset}, {OPT_BUDGET, &cli->budget}, {OPT_RATE, &cli->rate}};
    switch (c) {
    case 'j':
        cli->json = true;
        return 0;
    case 'q':
        cli->quiet = true;
        return 0;
    case 't':
        cli->options.threads = (unsigned)strtoul(optarg, &end, 10);
        return *end || !*optarg || cli->options.threads < 1 || cli->options.threads > 64 ? -1 : 0;
    case LONG_STORE:
        cli->options.store = optarg;
        return 0;
    case LONG_CATALOG:
        cli->options.catalog = optarg;
        return 0;
    case LONG_READONLY:
        cli->options.readonly = true;
        return 0;
    case LONG_WAIT:
        cli->options.wait = true;
        return 0;
    case LONG_WRITE:
        cli->write = true;
        return 0;
    default:
        if (c < LONG_OPT)
            return -1;
        cli->given |= 1u << (c - LONG_OPT);
        cli->options.shared |= c - LONG_OPT == 22;
        cli->options.now |= c - LONG_OPT == 28;
        for (size_t i = 0; i < COUNT_OF(values); i++)
            if (values[i].bit == 1 << (c - LONG_OPT))
                *values[i].value = optarg;
        return 0;
    }
}

static int run_command(struct cli *cli, const struct command *command)
{
    struct err err = {0};
    if (command->bare)
        return command->run(cli);
    if (ops_open(&cli->options, &cli->ops, &err) < 0)
        return cli_fail(&err);
    cli_notes(&cli->ops->notes);
    int status = command->run(cli);
    cli_notes(&cli->ops->notes);
    ops_close(cli->ops);
    if (fflush(stdout) != 0 && errno != EPIPE) {
        err_sys(&err, "standard output");
        status = cli_fail(&err);
    }
    return status;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {0};
    signal(SIGPIPE, SIG_IGN);
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":jqht:", long_options, NULL)) >= 0;) {
        if (c == 'h' || c == LONG_VERSION) {
            cli.args = (const char *const *)argv + optind;
            cli.arg_count = (size_t)(argc - optind);
            return c == 'h' ? cli_help(&cli) : cli_version(&cli);
        }
        if (c == '?' || c == ':' || take_option(&cli, c) < 0)
            return usage(c == ':'   ? "%s needs a value (see tare help)"
                         : c == '?' ? "%s: no such option (see tare help)"
                                    : "%s: a wrong value (see tare help)",
                         c == 't' ? "--threads" : argv[optind - 1]);
    }
    const struct command *command = optind < argc ? find_command(argv[optind]) : NULL;
    if (!command)
        return usage("%s: no such command (see tare help)", optind < argc ? argv[optind] : "?");
    cli.args = (const char *const *)argv + optind + 1;
    cli.arg_count = (size_t)(argc - optind - 1);
    if (cli.given & ~command->options)
        return usage("%s does not take one of these options (see tare help)", command->name);
    if (cli.arg_count < command->least || cli.arg_count > command->most)
        return usage("wrong number of arguments (see tare help %s)", command->name);
    if (under_sudo() && !cli.write)
        cli.options.readonly = true;
    return run_command(&cli, command);
}
