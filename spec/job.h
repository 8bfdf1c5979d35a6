/* The job: what a job file says, with every default filled in. Made from the rows of the schema (schema.def), which say
 * type, unit, range, default and meaning of each field. Strings and lists are owned by the job. */
#ifndef NASRUN_SPEC_JOB_H
#define NASRUN_SPEC_JOB_H

#include "spec/strategies.h"

#include <stdbool.h>
#include <stdint.h>

enum { JOB_LIST_MAX = 32 };

/* The value of keys that may be "auto" or a number, when they are "auto". */
enum { JOB_AUTO = -1 };

struct job_strings {
    int32_t count;
    char *items[JOB_LIST_MAX];
};

struct job_numbers {
    int32_t count;
    double items[JOB_LIST_MAX];
};

/* What a field of each type (enum spec_type) is; that of a choice is its enum. */
typedef int32_t job_field_WHOLE;
typedef int32_t job_field_AUTO_WHOLE;
typedef int64_t job_field_SEED;
typedef double job_field_NUMBER;
typedef bool job_field_SWITCH;
typedef char *job_field_TEXT;
typedef char *job_field_PATH;
typedef struct job_strings job_field_CHOICES;
typedef struct job_numbers job_field_SIZE;
typedef struct job_numbers job_field_RISING;
typedef struct job_numbers job_field_RISING_WHOLE;

/* The keys of section train that the search may choose a value for, each with the scale that its range has when the job
 * names none. */
/* clang-format off */
#define JOB_SEARCHED(X) \
    X(batch, LOG) \
    X(learning_rate, LOG) \
    X(momentum, LINEAR) \
    X(weight_decay, LOG) \
    X(label_smoothing, LINEAR) \
    X(average, LINEAR)
/* clang-format on */

enum job_range_kind {
    JOB_RANGE_OPEN,    /* "auto", or nothing said: the default, and a strategy may try others */
    JOB_RANGE_FIXED,   /* a value */
    JOB_RANGE_LIST,    /* one of `values`; the search begins with the first */
    JOB_RANGE_BETWEEN, /* from min to max; it begins in the middle, on the scale */
};

enum job_range_scale { JOB_RANGE_LOG, JOB_RANGE_LINEAR };

/* Which values a key may have. The key's field is the one that the search begins with. */
struct job_range {
    enum job_range_kind kind;
    struct job_numbers values;
    double min, max; /* min < max; with a scale of logarithms both > 0 */
    enum job_range_scale scale;
    bool whole; /* whole numbers */
};

/* The value at a place of a range between two bounds, from 0 at its least to 1 at its most, on its scale; and back,
 * where a value outside has the place of the nearer bound. */
double job_range_value(const struct job_range *range, double place);
double job_range_place(const struct job_range *range, double value);

/* clang-format off */
/* enum job_fit { JOB_FIT_STRETCH, ... } for dataset.fit, and so on. */
#define SPEC_WORD(constant, text) JOB_##constant,
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning) enum job_##field { words };
#include "spec/schema.def"

/* The word of a job file: job_fit_text(JOB_FIT_STRETCH) is "stretch". */
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning) \
    const char *job_##field##_text(enum job_##field value);
#include "spec/schema.def"
/* And back, as models tell it; false for an unknown word. */
bool job_fit_of(const char *text, enum job_fit *value);

/* struct job_ranges: struct job_range learning_rate, and so on. */
struct job_ranges {
#define JOB_SEARCHED_FIELD(field, usual_scale) struct job_range field;
    JOB_SEARCHED(JOB_SEARCHED_FIELD)
#undef JOB_SEARCHED_FIELD
};

/* struct job_dataset dataset, struct job_search search, and so on, each with its keys; then the keys outside of
 * sections. */
struct job {
    char *file; /* the job file's path */
    struct job_ranges ranges; /* of the keys of section train */
#define SPEC_SECTION(section) struct job_##section {
#define SPEC_KEY(section, field, type, least, most, choices, unit, default_text, meaning) job_field_##type field;
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning) enum job_##field field;
#define SPEC_SECTION_END(section) } section;
#define SPEC_LONE_KEY(field, type, least, most, choices, unit, default_text, meaning) job_field_##type field;
#include "spec/schema.def"
};
/* clang-format on */

/* Whether an item of search.starts is the path of a file and no word; such a file in ONNX. */
bool job_start_is_file(const char *start);
bool job_start_is_onnx(const char *start);

/* Whether baseline.start names anything; and the network that it names: NULL for the first of search.starts. */
bool job_has_baseline(const struct job *job);
const char *job_baseline_start(const struct job *job);

#endif
