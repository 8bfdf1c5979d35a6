/* Testing: what a model in the run folder answers to the test images and, at the end of a stage, to the validation
 * images. */
#ifndef NASRUN_RUN_TESTING_H
#define NASRUN_RUN_TESTING_H

#include "host/run/run.h"

/* Tests models/ID.safetensors on all devices; the model's clock moves. The test's confusion and what was right are the
 * caller's to free (testing_free), on errors too. */
enum status testing_run(struct run *run, int32_t id, struct trainer_test *test, struct error *err);
void testing_free(struct trainer_test *test);

/* What the model of a stage answers. The validation images are divided: where the stage's final fit may train on most
 * of them (testing_joins), those that are kept out of that (trainer.h) are looked at like the test images, in several
 * views, and the others once. Else all of them are looked at in several views. */
struct testing {
    struct trainer_test test;   /* with its answers */
    struct trainer_test unseen; /* with its answers, and those to the images as they are */
    struct trainer_test others; /* with its answers, in one view */
    int32_t *validation;        /* samples of these two, in this order */
    struct graph graph;         /* the model's */
};
/* As testing_run; testing_close ends it, on errors too. */
enum status testing_stage(struct run *run, int32_t id, struct testing *testing, struct error *err);
void testing_close(struct testing *testing);

/* Whether the final fit of the stage at hand is to train on validation images: that of the last alone. */
bool testing_joins(const struct run *run);

/* What the answers of testing_run and, with `of_stage`, of testing_stage and answers_keep take on the host. */
void testing_need(const struct run *run, bool of_stage, struct memory_need *need);

/* How many evaluations of an image testing_run takes, and with `of_stage` testing_stage. */
double testing_evaluations(const struct run *run, bool of_stage);

/* Which images were right as text, as the journal has it: an image a bit, four to a hexadecimal digit, the first of
 * them its highest bit; malloc'd, NULL when out of memory. And back, `right` [count]; ST_FORMAT when it is not of so
 * many images. */
char *testing_right_text(const uint8_t *right, int32_t count);
enum status testing_right_of(const char *text, int32_t count, uint8_t *right, struct error *err);

#endif
