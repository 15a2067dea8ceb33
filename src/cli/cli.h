/* SPDX-License-Identifier: MIT */
/* The command line: one table of commands, one small file for each, and what they share. */
#ifndef TARE_CLI_CLI_H
#define TARE_CLI_CLI_H

#include "base/json.h"
#include "base/progress.h"
#include "ops/ops.h"

/* Exit statuses, part of the interface. */
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_MODEL = 3,
    EXIT_INTERRUPTED = 130,
};

/* Options of single commands, as bits; the common ones need none. */
enum {
    OPT_HEADERS = 1 << 0,
    OPT_FORGET = 1 << 1,
    OPT_SORT = 1 << 2,
    OPT_FILTER = 1 << 3,
    OPT_ALL = 1 << 4,
    OPT_YES = 1 << 5,
    OPT_KEEP = 1 << 6,
    OPT_BASE = 1 << 7,
    OPT_INCLUDE_BASE = 1 << 8,
    OPT_LIVE = 1 << 9,
    OPT_TO = 1 << 10,
    OPT_DRY_RUN = 1 << 11,
    OPT_CODEC = 1 << 12,
    OPT_REPAIR = 1 << 13,
    OPT_RESUME = 1 << 14,
    OPT_CLEAR = 1 << 15,
    OPT_FAMILY = 1 << 16,
    OPT_EXACT = 1 << 17,
    OPT_FILES = 1 << 18,
    OPT_BY = 1 << 19,
    OPT_FORMAT = 1 << 20,
    OPT_TENSOR = 1 << 21,
    OPT_SHARED = 1 << 22,
    OPT_REVOKE = 1 << 23,
    OPT_DEEP = 1 << 24,
    OPT_SUBSET = 1 << 25,
    OPT_BUDGET = 1 << 26,
    OPT_RATE = 1 << 27,
    OPT_NOW = 1 << 28,
};

struct cli {
    struct ops_options options;
    struct ops *ops;
    const char *const *args; /* what follows the command, NULL-terminated */
    size_t arg_count;
    unsigned given; /* OPT_… */
    const char *sort, *filter, *base, *to, *codec, *forget, *by, *format, *tensor, *subset, *budget,
        *rate;
    bool json, quiet, write;
};

struct command {
    const char *name;
    const char *arguments; /* for help: "MODEL... [--yes]" */
    const char *summary;
    unsigned options;   /* OPT_… that it takes */
    size_t least, most; /* arguments */
    int (*run)(struct cli *cli);
    bool bare; /* needs no catalog */
};

extern const struct command cli_commands[];
extern const size_t cli_command_count;

/* Runs the command that argv names; returns the exit status. */
int cli_main(int argc, char **argv);
/* Whether this word names a command. */
bool cli_is_command(const char *word);

/* Calls found for each long option that a command takes, its own and those of all. */
void cli_each_option(const struct command *command, void (*found)(void *context, const char *name),
                     void *context);

/* Prints "tare: text" on standard error, escaped, and returns the exit status for the code. */
int cli_fail(const struct err *err);
/* Prints ops->notes, if any, on standard error and empties them. */
void cli_notes(struct buf *notes);

/* Prints escaped text on standard output. */
void cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints a JSON document and a newline, and frees it. */
void cli_print_json(js *document);

/*
 * Runs an operation on a thread of its own while this one draws a progress bar on standard
 * error (if that is a terminal) and turns signals into a cancel. Returns what run returned.
 */
int cli_run(struct cli *cli, int (*run)(void *context, struct progress *progress), void *context);

/* The library, with a scan of the headers first where nothing was ever scanned. */
int cli_library(struct cli *cli, struct library **ret, struct err *err);
/* The models that the arguments mean (all of them with OPT_ALL or without arguments and all). */
int cli_models(struct cli *cli, const struct library *library, bool all, int **ret,
               size_t *ret_count, struct err *err);

/* The model as --json shows it in list and show. */
js *cli_model_json(const struct library *library, const struct lib_model *model);

/* The parents of a model as --json shows them in tree and show. */
js *cli_parents_json(const struct library *library, int model);

struct report;
/* Puts the rows of a report under a key. */
void cli_put_report(js *document, const char *key, const struct report *report);

struct done_report;
/* Shows what a verb did to models ("compressed"), with r and err its result; the exit status. */
int cli_done(struct cli *cli, struct done_report *report, const char *verb, int r,
             const struct err *err);

int cli_scan(struct cli *cli);
int cli_list(struct cli *cli);
int cli_show(struct cli *cli);
int cli_tree(struct cli *cli);
int cli_delta(struct cli *cli);
int cli_duplicates(struct cli *cli);
int cli_report(struct cli *cli);
int cli_overview(struct cli *cli);
int cli_plan(struct cli *cli);
int cli_compress(struct cli *cli);
int cli_decompress(struct cli *cli);
int cli_delete(struct cli *cli);
int cli_verify(struct cli *cli);
int cli_optimize(struct cli *cli);
int cli_gc(struct cli *cli);
int cli_trust(struct cli *cli);
int cli_jobs(struct cli *cli);
int cli_log(struct cli *cli);
int cli_bench(struct cli *cli);
int cli_doctor(struct cli *cli);
int cli_help(struct cli *cli);
int cli_version(struct cli *cli);
int cli_completion(struct cli *cli);
/* Everything that tare can do, shown on a throw-away copy of the samples, without a terminal. */
int cli_demo(void);

#endif
