/* A program's command line: one table of its options, read by getopt_long. --help is printed from that table, and
 * tools/manual makes the manual page and the shells' completions from it. */
#ifndef NASRUN_BASE_COMMAND_H
#define NASRUN_BASE_COMMAND_H

#include "host/base/error.h"

#include <stdio.h>

/* What a shell offers where a word is expected. */
enum command_words {
    WORDS_NONE,
    WORDS_FILES,
    WORDS_FOLDERS,
    WORDS_JOBS, /* job files */
    WORDS_KEYS, /* KEY=VALUE, of a job's keys */
};

/* Options that every program has; a program numbers its own from 1. */
enum { COMMAND_END = 0, COMMAND_HELP = 1000, COMMAND_VERSION };

struct command_option {
    int id;
    char letter;          /* 'v' of -v; 0: none */
    const char *name;     /* "verbose" of --verbose */
    const char *argument; /* "DIR"; NULL: it takes none */
    enum command_words words;
    const char *meaning;
};

struct command_example {
    const char *line, *meaning;
};

/* How all programs end. Schedulers and scripts go by it. */
enum command_exit {
    COMMAND_DONE = 0,
    COMMAND_SOME_FAILED = 1, /* of several things asked for: those that could be done were done */
    COMMAND_ERROR = 2,       /* told in one line */
    COMMAND_UNFINISHED = 75, /* saved, to be gone on with; EX_TEMPFAIL of sysexits.h */
};

struct command_status {
    int status;
    const char *meaning; /* NULL ends a list */
};

/* Lists end with an element that is all zero. */
struct command {
    const char *name;
    const char *purpose;                  /* follows the name: "searches ..." */
    const char *const *uses;              /* what follows the name: "[OPTION ...] RUN" */
    const struct command_option *options; /* without those that all programs have */
    int least, most;                      /* words beside the options */
    enum command_words first, others;     /* what those are */
    const char *description;              /* sentences; an empty line between paragraphs */
    const struct command_example *examples;
    const struct command_status *statuses; /* all that it ends with */
};

extern const struct command_option command_common_options[];

/* A command line on its way through command_next. */
struct command_line {
    const struct command *command;
    int count;
    char **arguments;
    int option;        /* the one that was read last; COMMAND_END: none is left */
    const char *value; /* its argument, or NULL */
    char **words;      /* at the end: what is no option, `word_count` of them */
    int word_count;
};

/* count and arguments are main's; the arguments get another order, and nothing is allocated. One line is read at a
 * time, for getopt_long keeps to itself where it is. */
void command_begin(struct command_line *line, const struct command *command, int count, char **arguments);

/* Reads the next option. ST_RANGE with one line for one that is wrong; at the end, for too few or too many words. */
enum status command_next(struct command_line *line, struct error *err);

/* Option i, counted through the program's own and then those of all; NULL behind the last. */
const struct command_option *command_option_at(const struct command *command, int i);

void command_print_help(const struct command *command, FILE *out);
void command_print_version(const struct command *command, FILE *out);

#endif
