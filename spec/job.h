/* The job: what a job file says, with every default filled in. Made from the rows of the schema (schema.def), which say
 * type, unit, range, default and meaning of each field. Strings and lists are owned by the job. */
#ifndef NASRUN_SPEC_JOB_H
#define NASRUN_SPEC_JOB_H

#include "spec/strategies.h"

#include <stdbool.h>
#include <stdint.h>

enum { JOB_LIST_MAX = 32 };

/* The value of keys that may be "auto" or a number, when they are "auto". */
enum { JOB_AUTO = 0 };

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

/* clang-format off */
/* enum job_fit { JOB_FIT_STRETCH, ... } for dataset.fit, and so on. */
#define SPEC_WORD(constant, text) JOB_##constant,
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning) enum job_##field { words };
#include "spec/schema.def"

/* The word of a job file: job_fit_text(JOB_FIT_STRETCH) is "stretch"; and back, false for an unknown word. */
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning) \
    const char *job_##field##_text(enum job_##field value); \
    bool job_##field##_of(const char *text, enum job_##field *value);
#include "spec/schema.def"

/* struct job_dataset dataset, struct job_search search, and so on, each with its keys; then the keys outside of
 * sections. */
struct job {
    char *file; /* the job file's path */
#define SPEC_SECTION(section) struct job_##section {
#define SPEC_KEY(section, field, type, least, most, choices, unit, default_text, meaning) job_field_##type field;
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning) enum job_##field field;
#define SPEC_SECTION_END(section) } section;
#define SPEC_LONE_KEY(field, type, least, most, choices, unit, default_text, meaning) job_field_##type field;
#include "spec/schema.def"
};
/* clang-format on */

#endif
