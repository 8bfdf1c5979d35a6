/* Testing: what a model in the run folder answers to the test images. */
#ifndef NASRUN_RUN_TESTING_H
#define NASRUN_RUN_TESTING_H

#include "host/run/run.h"

/* Tests models/ID.safetensors on all devices; the model's clock moves. The test's confusion and what was right are the
 * caller's to free (testing_free), on errors too. */
enum status testing_run(struct run *run, int32_t id, struct trainer_test *test, struct error *err);
void testing_free(struct trainer_test *test);

/* Which images were right as text, as the journal has it: an image a bit, four to a hexadecimal digit, the first of
 * them its highest bit; malloc'd, NULL when out of memory. And back, `right` [count]; ST_FORMAT when it is not of so
 * many images. */
char *testing_right_text(const uint8_t *right, int32_t count);
enum status testing_right_of(const char *text, int32_t count, uint8_t *right, struct error *err);

#endif
