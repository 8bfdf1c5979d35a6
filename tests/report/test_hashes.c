/* Whose files a run's folder holds: models and predictions by the hashes that its journal tells. */
#include "host/base/file.h"
#include "host/journal/journal.h"
#include "host/report/report.h"
#include "tests/support/data_files.h"
#include "tests/support/journal_events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct event began(void)
{
    static const char *const names[] = {"cat", "dog"};
    struct event event = journal_events_blank(EVENT_RUN);
    event.run.version = "1";
    event.run.format = EVENT_FORMAT;
    event.run.dataset.fingerprint = "xxh3:0";
    event.run.dataset.class_names = (struct event_texts){names, 2};
    event.run.dataset.policy = "";
    event.run.libraries.cjson = "1";
    return event;
}

static struct event model(int32_t id, const char *hash)
{
    struct event event = journal_events_blank(EVENT_MODEL);
    event.model.id = id;
    event.model.hash = hash;
    return event;
}

static struct event candidate(int32_t id, const cJSON *graph)
{
    struct event event = journal_events_blank(EVENT_CANDIDATE);
    event.candidate.id = id;
    event.candidate.parent = -1;
    event.candidate.graph = graph;
    return event;
}

static struct event tested(int32_t stage, int32_t id, const char *published, const char *predictions)
{
    static const int64_t confusion[] = {1, 0, 0, 1};
    struct event event = journal_events_blank(EVENT_TEST);
    event.test.stage = stage;
    event.test.id = id;
    event.test.confusion = (struct event_matrix){confusion, 2};
    event.test.published = published;
    event.test.predictions = predictions;
    return event;
}

static struct event stage(int32_t number)
{
    struct event event = journal_events_blank(EVENT_STAGE);
    event.stage.stage = number;
    event.stage.budget.seconds = 60.0 * (number + 1);
    return event;
}

static void test_hashes(void **state)
{
    static const struct {
        int32_t id;
        const char *hash, *expected; /* NULL: it is the run's */
    } cases[] = {
        {0, "trained", NULL},     {0, "first", NULL},    {0, "second", NULL},
        {0, "another", "second"}, {0, "", "second"},     {1, "small", NULL},
        {1, "first", "small"},    {2, "anything", NULL}, /* the journal knows no hash of it */
        {7, "anything", NULL},
    };
    (void)state;
    char *folder = data_files_folder(), *path = file_join(folder, JOURNAL_NAME), *expected;
    cJSON *graph = cJSON_Parse("{\"layers\":[]}");
    assert_true(report_knows_model(folder, 0, "anything", &expected)); /* there is no journal */
    assert_null(expected);
    assert_true(report_knows_predictions(folder, 0, "anything"));
    const struct event events[] = {
        began(),
        stage(0),
        candidate(0, graph),
        model(0, "trained"),
        candidate(1, graph),
        model(1, "small"),
        candidate(2, graph),
        model(2, NULL),
        tested(0, 0, "first", "answers"),
        stage(1),
        tested(1, 2, NULL, NULL),
        stage(2),
        tested(2, 0, "second", "more answers"),
    };
    journal_events_write(path, events, sizeof(events) / sizeof(events[0]));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool known = report_knows_model(folder, cases[i].id, cases[i].hash, &expected);
        if (known != (cases[i].expected == NULL))
            fail_msg("model %d of %s: %s", (int)cases[i].id, cases[i].hash, known ? "known" : "not known");
        if (known)
            assert_null(expected);
        else
            assert_string_equal(expected, cases[i].expected);
        free(expected);
    }
    assert_true(report_knows_predictions(folder, 0, "answers"));
    assert_true(report_knows_predictions(folder, 0, "more answers"));
    assert_false(report_knows_predictions(folder, 0, "other answers"));
    assert_false(report_knows_predictions(folder, 1, "answers"));
    assert_false(report_knows_predictions(folder, 2, "answers"));
    cJSON_Delete(graph);
    free(path);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
