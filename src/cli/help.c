/* SPDX-License-Identifier: MIT */
/* tare help, tare version, tare completion */
#include "cli/cli.h"

#include "config.h"

#include <string.h>

/* ---- topics ---- */

static const struct {
    const char *name, *text;
} topics[] = {
    {"families",
     "FAMILIES\n\n"
     "tare finds out which model was made from which. Cards, configurations, adapters, mergekit\n"
     "recipes, the metadata of weight files and the names of checkpoints say so; where nothing is\n"
     "written down, the bits do: of each model 4096 weights are compared with those of every "
     "other\n"
     "one of its architecture, as BF16. Unrelated models differ in about 5.7 of 16 bits, "
     "fine-tunes\n"
     "from their base in 0.2 to 4.7; the cut is at 4.9. A claim that the bits deny is shown, and "
     "not\n"
     "used.\n\n"
     "  finetune    made from the model above it by training\n"
     "  checkpoint  a step of a run: it follows the step before\n"
     "  merge       between two others, or claimed to be of several\n"
     "  adapter     needs the model above it to run\n"
     "  quantized   the same in fewer bits\n"
     "  duplicate   every tensor of it is in the model above\n\n"
     "evidence: metadata, card, adapter, mergekit, gguf, config say it;\n"
     "path: its place in a run; content: equal tensors; bits: the weights themselves.\n"
     "A parent that is only named is shown as not here: download it, scan, and tare optimize.\n"},
    {"deltas",
     "DELTAS\n\n"
     "tare delta MODEL [BASE] reads both, and tells for each tensor, module and layer:\n\n"
     "  unchanged   share of the weights that are equal, bit for bit (frozen layers: 100%)\n"
     "  bits        how many of 16 bits differ, on average; by chance it would be 5.7\n"
     "  change      the length of the difference over the length of the base\n"
     "  cosine      of the model and its base\n"
     "  flips       (--json, and the Delta tab) how often each bit differs: sign, exponent,\n"
     "              mantissa; a half is chance\n\n"
     "The less differs, the smaller it is stored: one bit comes to about an eighth of its size, "
     "two\n"
     "to a fifth, three to a third; without a base it is two thirds.\n"},
    {"store",
     "THE STORE\n\n"
     "A compressed model lies in a store: $XDG_DATA_HOME/tare/store, a folder .tare beside its "
     "cache\n"
     "where that is another file system, or what --store or the configuration names.\n\n"
     "  files/      for each file a manifest: all that is needed to give it back\n"
     "  objects/    tensors: alone, or as the difference from a base\n"
     "  held/       bases that are not compressed themselves, by a hard link or a clone\n"
     "  log         what was done\n\n"
     "tare verify reads and checks all of it; --repair mends it from copies. tare gc removes what\n"
     "nothing needs. tare decompress brings everything back: then the store may be deleted.\n"
     "What the index (the catalog) holds can be deleted at any time; scan makes it anew.\n"},
    {"safety",
     "SAFETY\n\n"
     "Before an original goes, what is stored of it is decoded and compared with it, and all of "
     "it\n"
     "is on the disk for good. A crash, a full disk or kill -9 leaves each file where it was, or "
     "in\n"
     "the store. Files that are in use, fresh, or linked from elsewhere are left alone, with the\n"
     "reason. Mode, owner, times, attributes and links come back, too.\n\n"
     "  --keep       store models and keep the originals, for a trial\n"
     "  --readonly   change nothing but the index\n"
     "  plan         say what would be done, and do nothing\n"
     "  verify       check what is stored; run it when a disk is suspect\n"
     "  jobs         what was interrupted; --resume goes on\n"
     "  trust        use a store that belongs to somebody else\n\n"
     "Until a model is given back, programs do not find it: loads from the hub download it "
     "again.\n"},
};

/* ---- help ---- */

static int help_word(const char *word)
{
    struct err err;
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct command *command = &cli_commands[i];
        if (strcmp(command->name, word) != 0)
            continue;
        printf("usage: tare %s %s\n\n%s\n", command->name, command->arguments, command->summary);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        if (strcmp(topics[i].name, word) != 0)
            continue;
        printf("%s", topics[i].text);
        return EXIT_DONE;
    }
    err_set(&err, ERR_USAGE, "%s: no such command or topic", word);
    return cli_fail(&err);
}

int cli_help(struct cli *cli)
{
    if (cli->arg_count)
        return help_word(cli->args[0]);
    printf("tare shows what a collection of models weighs, why, and gives the space back\n"
           "without losing a bit.\n\n"
           "usage: tare [PATH...]            explore the known caches, or only these folders\n"
           "       tare -a PATH...           both\n"
           "       tare --demo               explore a throw-away copy of the samples\n"
           "       tare COMMAND [OPTIONS]\n\ncommands:\n");
    for (size_t i = 0; i < cli_command_count; i++)
        printf("  %-11s %s\n", cli_commands[i].name, cli_commands[i].summary);
    printf("\ntopics:\n ");
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        printf(" %s", topics[i].name);
    printf("\n\noptions of every command:\n"
           "  --json          print JSON\n"
           "  --store DIR     use this store\n"
           "  --catalog FILE  use this index (default $XDG_CACHE_HOME/tare/catalog.db)\n"
           "  --threads N     work with N threads\n"
           "  --quiet         no progress, no summaries\n"
           "  --wait          wait for a store that another tare holds\n"
           "  --readonly      change nothing but the index (the default under sudo; --write lifts "
           "it)\n\n"
           "MODEL is a name as list shows it, any unique ending of one, an id, or a path.\n"
           "Exit status: 0 done; 1 something failed; 2 wrong usage; 3 no such model;\n"
           "130 interrupted.\n");
    return EXIT_DONE;
}

int cli_version(struct cli *cli)
{
    (void)cli;
    printf("tare %s\n", PACKAGE_VERSION);
    return EXIT_DONE;
}

/* ---- completion ---- */

static void print_word(void *context, const char *option)
{
    (void)context;
    printf(" --%s", option);
}

static void print_fish(void *context, const char *option)
{
    printf("complete -c tare -n '__fish_seen_subcommand_from %s' -l %s\n", (const char *)context,
           option);
}

static void print_commands(void)
{
    for (size_t i = 0; i < cli_command_count; i++)
        printf(" %s", cli_commands[i].name);
}

/* A case of the command's options, in the words of both shells. */
static void print_cases(const char *line)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("\t%s) %s", cli_commands[i].name, line);
        cli_each_option(&cli_commands[i], print_word, NULL);
        printf("\" ;;\n");
    }
}

static void print_bash(void)
{
    printf("# bash completion for tare: source <(tare completion bash)\n_tare()\n{\n"
           "\tlocal word=${COMP_WORDS[COMP_CWORD]} options=\n"
           "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -d -W \"");
    print_commands();
    printf("\" -- \"$word\"))\n\t\treturn\n\tfi\n\tcase ${COMP_WORDS[1]} in\n");
    print_cases("options=\"");
    printf("\tesac\n\tcase $word in\n"
           "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
           "\t*) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n\tesac\n}\n"
           "complete -o filenames -F _tare tare\n");
}

static void print_zsh(void)
{
    printf(
        "#compdef tare\n# zsh completion for tare: tare completion zsh >DIR/_tare, DIR in fpath\n"
        "local options=\nif (( CURRENT == 2 )); then\n\tcompadd --");
    print_commands();
    printf("\n\t_files\n\treturn\nfi\ncase $words[2] in\n");
    print_cases("options=\"");
    printf("esac\ncompadd -- ${=options}\n_files\n");
}

static void print_fish_all(void)
{
    printf("# fish completion for tare: tare completion fish | source\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct command *command = &cli_commands[i];
        printf("complete -c tare -n __fish_use_subcommand -a %s -d \"%s\"\n", command->name,
               command->summary);
        cli_each_option(command, print_fish, (void *)command->name);
    }
}

int cli_completion(struct cli *cli)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish_all}};
    struct err err;
    for (size_t i = 0; i < COUNT_OF(shells); i++) {
        if (strcmp(shells[i].shell, cli->args[0]) != 0)
            continue;
        shells[i].print();
        return EXIT_DONE;
    }
    err_set(&err, ERR_USAGE, "completion takes bash, zsh or fish");
    return cli_fail(&err);
}
