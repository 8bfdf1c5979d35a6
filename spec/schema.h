/* The schema table and what the files of this room share. Other rooms include spec.h and job.h only; tools/manual reads
 * the table. */
#ifndef NASRUN_SPEC_SCHEMA_H
#define NASRUN_SPEC_SCHEMA_H

#include "spec/spec.h"

#include <stddef.h>
#include <stdio.h>

/* What a value may be; the C type of its field in struct job stands behind it. */
enum spec_type {
    SPEC_WHOLE,        /* int32_t */
    SPEC_AUTO_WHOLE,   /* int32_t; JOB_AUTO: "auto", which is the other value that it may have */
    SPEC_SEED,         /* int64_t; up to 2^53, so that JSON keeps it exactly */
    SPEC_NUMBER,       /* double; whole numbers are fine */
    SPEC_SWITCH,       /* bool */
    SPEC_CHOICE,       /* enum job_FIELD, whose values are in the order of the choices */
    SPEC_TEXT,         /* char *, anything */
    SPEC_PATH,         /* char *, a file or folder that exists, or "" where the key is not required */
    SPEC_CHOICES,      /* struct job_strings: one or more of the choices, each once; a single text is fine */
    SPEC_SIZE,         /* struct job_numbers: [height, width], one number for squares, or empty */
    SPEC_RISING,       /* struct job_numbers: rising numbers; a single number is fine, empty: not given */
    SPEC_RISING_WHOLE, /* struct job_numbers: the same, whole */
};

struct spec_key {
    const char *name; /* "section.key" or "key"; the fields are described in schema.def */
    enum spec_type type;
    size_t offset; /* of the field in struct job */
    double least, most;
    const char *choices;
    const char *const *words; /* SPEC_CHOICE: text of each value, then NULL; NULL for other types */
    const char *unit;
    const char *default_text;
    const char *meaning;
};

enum {
#define SPEC_KEY(section, field, type, least, most, choices, unit, default_text, meaning) +1
#define SPEC_LONE_KEY(field, type, least, most, choices, unit, default_text, meaning)     +1
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning)                     +1
    SPEC_KEY_COUNT = 0
#include "spec/schema.def"
};

enum { SPEC_TEXT_MAX = 256 }; /* bytes, enough for each text made here, else it is cut */

extern const struct spec_key spec_keys[SPEC_KEY_COUNT];

/* Where a value comes from. All zero but for `file`: nobody gave it, it is the default. */
struct spec_location {
    const char *file;
    int line;             /* from 1; 0: not from the file */
    const char *override; /* the override's whole text; NULL: not from the command line */
};

/* The key of that full name; NULL when there is none. */
const struct spec_key *spec_find(const char *name);
/* The same for names this program itself writes: never NULL. */
int spec_index(const char *name);
/* The number of the word among those of a choice; -1 when it is none of them. */
int spec_word(const char *const *words, const char *text);
/* Whether keys begin with "name.". */
bool spec_is_section(const char *name);
/* Length of "section." at the start of a full name; 0 outside of sections. */
int spec_section_length(const char *name);

/* Whether the key says nothing of what a run does: of output.* and report.* */
bool spec_is_outside(const struct spec_key *key);

/* The key's field. */
void *spec_field(struct job *job, const struct spec_key *key);
const void *spec_field_const(const struct job *job, const struct spec_key *key);

/* The key's range; NULL when the search may not choose its value. */
struct job_range *spec_range(struct job *job, const struct spec_key *key);
const struct job_range *spec_range_const(const struct job *job, const struct spec_key *key);
bool spec_is_searched(const struct spec_key *key);

/* "batch, learning_rate, ...": the keys of section train that are. */
void spec_list_searched(char text[SPEC_TEXT_MAX]);

/* Writes a list or a range between two bounds as a job file has it. */
void spec_print_range(const struct job_range *range, FILE *out);

/* What a value of the key has to be, for messages: "a number from 0 to 1". */
void spec_describe(const struct spec_key *key, char text[SPEC_TEXT_MAX]);
/* With the words and ranges of a key that may be searched, for the reference. */
void spec_describe_all(const struct spec_key *key, char text[SPEC_TEXT_MAX]);

/* The shortest decimal number that reads back as the same double; never without a point or exponent if
 * `point`. */
void spec_number_text(double value, bool point, char text[SPEC_TEXT_MAX]);

/* A text for a message: one line, printable, cut when long. */
void spec_clean_text(const char *from, char text[SPEC_TEXT_MAX]);

/* "LOCATION: KEY: found FOUND, expected EXPECTED"; the key is left out when the location is an override, which
 * names it. */
enum status spec_refuse(struct error *err, enum status status, const struct spec_location *location,
                        const char *name, const char *found, const char *expected);

/* "PLACE: unknown key 'NAME', did you mean 'OTHER'?" */
enum status spec_refuse_unknown(struct error *err, const struct spec_location *location, const char *name);

/* The known key nearest to an unknown one; NULL when none is near. A key's own name in another section is
 * near. */
const char *spec_suggest(const char *name);

/* Writes the key's value as a job file has it. */
void spec_print_value(const struct job *job, const struct spec_key *key, FILE *out);
/* The same as a text; NULL when out of memory. The caller frees it. */
char *spec_value_text(const struct job *job, const struct spec_key *key);

/* Whether the key is one of the kinds of budget, of which a job has one: their lists are a run's stages. */
bool spec_is_budget(const struct spec_key *key);

/* Nobody gave it: then it adapts, and is never what is wrong. */
static inline bool spec_is_default(const struct spec_location *location)
{
    return location->line == 0 && location->override == NULL;
}

/* What no single key can tell: required keys, files, budgets. Fills what depends on other keys (the
 * default budget and output.dir). locations[i] belongs to spec_keys[i]. */
enum status spec_check(struct job *job, const struct spec_location locations[SPEC_KEY_COUNT],
                       struct error *err);

/* The parts of it that are about the keys of search strategies (spec_strategy.c) and of cells (spec_cells.c). */
enum status spec_check_strategy(struct job *job, const struct spec_location locations[SPEC_KEY_COUNT],
                                struct error *err);
enum status spec_check_cells(struct job *job, const struct spec_location locations[SPEC_KEY_COUNT],
                             struct error *err);

/* Refuses a key that would mean nothing, and nobody would be told; `because` is why, as: search.strategy is "none". A
 * value that is the default one is let pass: jobs that were written with all their keys have it. */
enum status spec_check_unused(const struct job *job, const char *key, const char *because,
                              const struct spec_location locations[SPEC_KEY_COUNT], struct error *err);

/* Widths are multiples of it: vectors of the devices hold so many channels. */
enum { SPEC_WIDTH_UNIT = 8 };

/* Makes libconfig 1.5 see what is written in `text` (length bytes): whole numbers get an L, or it would cut
 * them to 32 bits in silence, and [..] become (..), or it would refuse [1, 2.5]. Refuses what it would not
 * report (NUL bytes, comments without an end), texts that would cost it memory (without an end, or where none
 * may stand), and @include, which ends the process when it meets a folder. Line numbers stay. *result is the
 * caller's to free. Messages begin with "FILE:LINE: ". */
enum status spec_prepare_text(const char *file, const char *text, size_t length, char **result,
                              struct error *err);

#endif
