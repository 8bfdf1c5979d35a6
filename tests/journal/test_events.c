/* Events: what is written is read back, what an older nasrun wrote as well; what is unknown is passed over; what is
 * wrong is named. Runs in the top folder, where the journals of all formats (tests/journal/format-N) and
 * host/journal/EVENTS.md are.
 *
 *     test_events --write-reference     writes host/journal/EVENTS.md anew
 *     test_events --seal FILE           numbers the lines of a journal edited by hand, renews their checksums
 */
#include "host/base/file.h"
#include "host/journal/event_fields.h"
#include "host/journal/event_read.h"
#include "tests/support/journal_events.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after what it needs */
#include <cmocka.h>

static const char reference_file[] = "host/journal/EVENTS.md";
static char folder[] = "/tmp/nasrun-events-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/journal.jsonl", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int remove_journal(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        if ((call) != ST_OK)                                                                                 \
            fail_msg("%s: %s", #call, (err).message);                                                        \
    } while (0)

/* Appends an object as a line, as it stands there: cJSON would write null for 1e999. */
static void append_text(const char *text)
{
    struct error err;
    struct journal_lines lines = {0};
    char line[512];
    if (file_exists(path))
        assert_ok(journal_load(path, &lines, &err), err);
    int length = snprintf(line, sizeof(line), "{\"seq\":%zu,\"time\":1.5,%s", lines.count, text + 1);
    assert_in_range(length, 1, sizeof(line) - 1);
    length--; /* the checksum closes the object */
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fprintf(file, "%.*s,\"crc\":\"%08x\"}\n", length, line, file_checksum(line, (size_t)length));
    assert_int_equal(fclose(file), 0);
    journal_lines_free(&lines);
}

/* The journal of that format, as it stands in tests/journal. */
static const char *journal_of_format(int32_t format)
{
    static char name[64];
    snprintf(name, sizeof(name), "tests/journal/format-%d/journal.jsonl", (int)format);
    return name;
}

/* ---- there and back ---- */

/* Each event of a journal of this format, read and written again, gives the same bytes; and there is every event and
 * every field in it, so that one more is asked for here. */
static void writes_what_it_read(void **state)
{
    (void)state;
    const char *original = journal_of_format(EVENT_FORMAT);
    char *before, *after;
    size_t length_before, length_after;
    struct error err;
    struct journal journal;
    struct journal_lines lines;
    const struct event *event;

    assert_ok(journal_load(original, &lines, &err), err);
    struct event_reader reader = event_reader_open(original, &lines);
    assert_ok(journal_open(path, &journal, &err), err);
    for (;;) {
        assert_ok(event_next(&reader, &event, &err), err);
        if (event == NULL)
            break;
        assert_ok(journal_events_append(&journal, event, &err), err);
    }
    assert_int_equal(reader.count, lines.count);
    event_reader_close(&reader);
    journal_close(&journal);
    assert_ok(file_read(original, &before, &length_before, &err), err);
    assert_ok(file_read(path, &after, &length_after, &err), err);
    assert_string_equal(after, before);
    assert_int_equal(length_after, length_before);
    free(before);
    free(after);
    journal_lines_free(&lines);
}

static bool has_field(const cJSON *object, const struct event_field *field)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field->name);
    return item != NULL && !cJSON_IsNull(item);
}

/* Whether some line of the journal has the event, and in it the field, inside of the part where that is not NULL. */
static void assert_somewhere(const struct journal_lines *lines, const struct event_row *row,
                             const struct event_field *part, const struct event_field *field)
{
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, row->name) == 0 &&
            has_field(part == NULL ? json : cJSON_GetObjectItemCaseSensitive(json, part->name), field))
            return;
    }
    fail_msg("%s has no %s.%s", journal_of_format(EVENT_FORMAT), row->name, field->name);
}

static void has_every_field_in_its_journal(void **state)
{
    (void)state;
    struct error err;
    struct journal_lines lines;
    assert_ok(journal_load(journal_of_format(EVENT_FORMAT), &lines, &err), err);
    for (int kind = 0; kind < EVENT_KINDS; kind++) {
        const struct event_row *row = &event_rows[kind];
        assert_in_range(row->since, 1, EVENT_FORMAT);
        assert_int_equal(event_kind_of(row->name), kind);
        assert_string_equal(event_name((enum event_kind)kind), row->name);
        for (int32_t i = 0; i < row->fields.count; i++) {
            const struct event_field *field = &row->fields.items[i];
            assert_in_range(field->since, row->since, EVENT_FORMAT);
            assert_somewhere(&lines, row, NULL, field);
            for (int32_t k = 0; k < field->part.count; k++) {
                assert_in_range(field->part.items[k].since, field->since, EVENT_FORMAT);
                assert_somewhere(&lines, row, field, &field->part.items[k]);
            }
        }
    }
    journal_lines_free(&lines);
}

/* What may be absent is not in the line when its value says so, and has that value again when it is read. */
static void leaves_out_what_is_absent(void **state)
{
    (void)state;
    char *text;
    size_t length;
    struct error err;
    struct journal_lines lines;
    const struct event *event;
    cJSON *graph = cJSON_CreateObject();
    struct event candidate = journal_events_blank(EVENT_CANDIDATE);
    candidate.time = 0.25;
    candidate.candidate.parent = -1;
    candidate.candidate.final = true;
    candidate.candidate.graph = graph;
    candidate.candidate.train_flops = 1e6;
    journal_events_write(path, &candidate, 1);
    assert_ok(file_read(path, &text, &length, &err), err);
    assert_non_null(
        strstr(text, "{\"seq\":0,\"time\":0.25,\"event\":\"candidate\",\"id\":0,\"parent\":-1,\"stage\":0,"
                     "\"operations\":[],\"final\":true,\"graph\":{},\"parameters\":0,"
                     "\"train_flops\":1000000,\"crc\":"));
    free(text);
    assert_ok(journal_load(path, &lines, &err), err);
    struct event_reader reader = event_reader_open(path, &lines);
    assert_ok(event_next(&reader, &event, &err), err);
    assert_non_null(event);
    assert_int_equal(event->kind, EVENT_CANDIDATE);
    assert_true(event->time == 0.25);
    assert_null(event->candidate.start);
    assert_int_equal(event->candidate.observed, -1);
    assert_int_equal(event->candidate.parent, -1);
    assert_int_equal(event->candidate.operations.count, 0);
    assert_true(isnan(event->candidate.expected));
    assert_true(isnan(event->candidate.budget));
    assert_int_equal(event->candidate.batches_of, -1);
    assert_true(isnan(event->candidate.learning_rate));
    assert_int_equal(event_candidate(event), 0);
    event_reader_close(&reader);
    journal_lines_free(&lines);
    cJSON_Delete(graph);
}

static void refuses_to_write_what_it_would_not_read(void **state)
{
    (void)state;
    static const double not_finite[] = {0.5, NAN};
    static const struct {
        struct event event;
        const char *expected;
    } cases[] = {
        {{.kind = EVENT_EPOCH, .epoch = {.id = -1}}, "epoch event: \"id\" is -1, expected 0 to 2147483647"},
        {{.kind = EVENT_EPOCH, .epoch = {.seconds = INFINITY}},
         "epoch event: \"seconds\" is inf, expected a finite number"},
        {{.kind = EVENT_PLAN, .plan = {.process_bytes = (1LL << 53) + 2}},
         "plan event: \"process_bytes\" is 9007199254740994, expected 0 to 9007199254740992"},
        {{.kind = EVENT_STAGE, .stage = {.budget = {NAN, INFINITY, NAN}}},
         "stage event: \"steps\" is inf, expected a finite number"},
        {{.kind = EVENT_TEST, .test = {.label_thresholds = {not_finite, 2}}},
         "test event: \"label_thresholds\" has nan, expected finite numbers"},
    };
    struct error err;
    struct journal journal;
    assert_ok(journal_open(path, &journal, &err), err);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(journal_events_append(&journal, &cases[i].event, &err), ST_RANGE);
        assert_memory_equal(err.message, path, strlen(path));
        assert_string_equal(err.message + strlen(path) + 2, cases[i].expected);
        assert_int_equal(lseek(journal.fd, 0, SEEK_END), 0);
    }
    journal_close(&journal);
}

/* ---- other formats ---- */

/* The journals that every format before this one left. */
static void reads_the_journals_of_all_formats(void **state)
{
    (void)state;
    struct error err;
    struct journal_lines lines;
    const struct event *event;
    for (int32_t format = 1; format <= EVENT_FORMAT; format++) {
        assert_ok(journal_load(journal_of_format(format), &lines, &err), err);
        assert_false(lines.torn);
        struct event_reader reader = event_reader_open(journal_of_format(format), &lines);
        assert_ok(event_next(&reader, &event, &err), err);
        assert_int_equal(event->kind, EVENT_RUN);
        assert_int_equal(event->run.format, format == 1 ? -1 : format);
        assert_int_equal(event->run.dataset.class_names.count, 4);
        while (event != NULL)
            assert_ok(event_next(&reader, &event, &err), err);
        assert_int_equal(reader.format, format);
        assert_int_equal(reader.count, lines.count);
        event_reader_close(&reader);
        journal_lines_free(&lines);
    }
}

/* A field is missed from the format on that it came with; a continued event says the format of the lines behind it. */
static void misses_a_field_from_its_format_on(void **state)
{
    (void)state;
    struct error err;
    struct journal_lines lines;
    const struct event *event;

    append_text("{\"event\":\"continued\",\"version\":\"a\"}");
    append_text("{\"event\":\"continued\",\"version\":\"b\",\"format\":2}");
    append_text("{\"event\":\"continued\",\"version\":\"c\"}");
    assert_ok(journal_load(path, &lines, &err), err);
    struct event_reader reader = event_reader_open(path, &lines);
    assert_ok(event_next(&reader, &event, &err), err);
    assert_int_equal(event->continued.format, -1);
    assert_int_equal(reader.format, 1);
    assert_string_equal(reader.version, "a");
    assert_ok(event_next(&reader, &event, &err), err);
    assert_int_equal(reader.format, 2);
    assert_string_equal(reader.version, "b");
    assert_int_equal(event_next(&reader, &event, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "journal.jsonl:3: continued event: \"format\" is missing, expected a "
                                        "whole number from 0 to 2147483647"));
    event_reader_close(&reader);
    journal_lines_free(&lines);
}

static void passes_over_what_it_does_not_know(void **state)
{
    (void)state;
    struct error err;
    struct journal_lines lines;
    const struct event *event;

    append_text("{\"event\":\"weather\",\"format\":[3],\"id\":\"none\"}");
    append_text("{\"event\":\"left_out\",\"start\":\"cnn\",\"clouds\":{\"start\":7}}");
    append_text("{\"event\":\"stage\",\"stage\":0,\"budget\":{\"clouds\":true,\"steps\":400}}");
    append_text("{\"event\":\"weather\"}");
    assert_ok(journal_load(path, &lines, &err), err);
    struct event_reader reader = event_reader_open(path, &lines);
    assert_ok(event_next(&reader, &event, &err), err);
    assert_int_equal(event->kind, EVENT_LEFT_OUT);
    assert_int_equal(reader.count, 2);
    assert_string_equal(event->left_out.start, "cnn");
    assert_int_equal(event_candidate(event), -1);
    assert_ok(event_next(&reader, &event, &err), err);
    assert_int_equal(event->kind, EVENT_STAGE);
    assert_true(event->stage.budget.steps == 400);
    assert_true(isnan(event->stage.budget.seconds));
    for (int i = 0; i < 2; i++) { /* behind the end it stays there */
        assert_ok(event_next(&reader, &event, &err), err);
        assert_null(event);
    }
    event_reader_close(&reader);
    journal_lines_free(&lines);
}

/* ---- what is wrong ---- */

#define EPOCH                                                                                                \
    "{\"event\":\"epoch\",\"id\":1,\"epoch\":2,\"step\":3,\"loss\":null,\"accuracy\":0.5,"                   \
    "\"validation_loss\":1,\"validation_accuracy\":0.5,\"learning_rate\":0.1,"
static const struct bad_event {
    const char *json, *expected; /* NULL: nothing is wrong with it */
} bad_events[] = {
    {EPOCH "\"seconds\":1,\"images_per_second\":null}", NULL},
    {EPOCH "\"seconds\":null,\"images_per_second\":1}",
     "epoch event: \"seconds\" is null, expected a finite number"},
    {EPOCH "\"seconds\":1e999,\"images_per_second\":1}",
     "epoch event: \"seconds\" is inf, expected a finite number"},
    {EPOCH "\"seconds\":1,\"images_per_second\":-1e999}",
     "epoch event: \"images_per_second\" is -inf, expected a finite number"},
    {EPOCH "\"images_per_second\":1}", "epoch event: \"seconds\" is missing, expected a finite number"},
    {"{\"event\":\"morph\",\"id\":-1}",
     "morph event: \"id\" is -1, expected a whole number from 0 to 2147483647"},
    {"{\"event\":\"morph\",\"id\":2147483648}",
     "morph event: \"id\" is 2147483648, expected a whole number from 0 to 2147483647"},
    {"{\"event\":\"morph\",\"id\":0.5}",
     "morph event: \"id\" is 0.5, expected a whole number from 0 to 2147483647"},
    {"{\"event\":\"morph\",\"id\":\"1\"}",
     "morph event: \"id\" is \"1\", expected a whole number from 0 to 2147483647"},
    {"{\"event\":\"morph\",\"id\":1,\"operation\":1}", "morph event: \"operation\" is 1, expected a string"},
    {"{\"event\":\"failed\",\"id\":1,\"parent\":-2}",
     "failed event: \"parent\" is -2, expected a whole number from -1 to 2147483647"},
    {"{\"event\":\"failed\",\"id\":1,\"parent\":-1,\"final\":0}",
     "failed event: \"final\" is 0, expected true or false"},
    {"{\"event\":\"failed\",\"id\":1,\"parent\":-1,\"final\":true,\"steps\":4294967296}",
     "failed event: \"steps\" is 4294967296, expected a whole number from 0 to 4294967295"},
    {"{\"event\":\"stage\",\"stage\":0}", "stage event: \"budget\" is missing, expected an object"},
    {"{\"event\":\"stage\",\"stage\":0,\"budget\":[60]}",
     "stage event: \"budget\" is [60], expected an object"},
    {"{\"event\":\"stage\",\"stage\":0,\"budget\":{\"steps\":\"a\"}}",
     "stage event: \"budget.steps\" is \"a\", expected a finite number"},
    {"{\"event\":\"run\",\"version\":\"1\",\"seed\":1,\"dataset\":{\"fingerprint\":\"0\",\"class_names\":["
     "\"a\","
     "1]}}",
     "run event: \"dataset.class_names\" is [\"a\",1], expected an array of strings"},
    {"{\"event\":\"run\",\"version\":\"1\",\"seed\":1,\"dataset\":{\"fingerprint\":\"0\",\"class_names\":[],"
     "\"train\":1,\"validation\":1,\"test\":1,\"image\":[1,2]}}",
     "run event: \"dataset.image\" is [1,2], expected [channels, height, width]"},
    {"{\"event\":\"candidate\",\"id\":1,\"parent\":0,\"stage\":0,\"operations\":[],\"final\":true,\"graph\":"
     "7}",
     "candidate event: \"graph\" is 7, expected an object"},
    {"{\"event\":\"test\",\"stage\":0,\"id\":1,\"accuracy\":1,\"loss\":0,\"confusion\":[[1,2],[1]]}",
     "test event: \"confusion\" is [[1,2],[1]], expected as many columns as rows"},
    {"{\"event\":\"test\",\"stage\":0,\"id\":1,\"accuracy\":1,\"loss\":0,\"confusion\":[[1,2],[1,-1]]}",
     "test event: \"confusion\" is -1, expected rows of whole numbers from 0 to 4294967295"},
    {"{\"event\":\"test\",\"stage\":0,\"id\":1,\"accuracy\":1,\"loss\":0,\"confusion\":"
     "[[11111,11111,11111,11111],[11111,11111,11111,11111,11111]]}",
     "test event: \"confusion\" is [[11111,11111,11111,11111],[11111,11111,1111..., expected as many "
     "columns as rows"},
    {"{\"event\":\"test\",\"stage\":0,\"id\":1,\"accuracy\":1,\"loss\":0,\"elapsed_seconds\":1,\"models\":1,"
     "\"label_counts\":[[1,2,3,4],[1,2,3]]}",
     "test event: \"label_counts\" is [[1,2,3,4],[1,2,3]], expected rows of as many columns"},
    {"{\"event\":\"test\",\"stage\":0,\"id\":1,\"accuracy\":1,\"loss\":0,\"elapsed_seconds\":1,\"models\":1,"
     "\"label_counts\":[[1,2,3,0.5]]}",
     "test event: \"label_counts\" is 0.5, expected rows of whole numbers from 0 to 4294967295"},
    {"{\"event\":\"test\",\"stage\":0,\"id\":1,\"accuracy\":1,\"loss\":0,\"elapsed_seconds\":1,\"models\":1,"
     "\"label_counts\":7}",
     "test event: \"label_counts\" is 7, expected rows of as many columns"},
    {"{\"event\":\"test\",\"stage\":0,\"id\":1,\"accuracy\":1,\"loss\":0,\"elapsed_seconds\":1,\"models\":1,"
     "\"label_thresholds\":[0.5,null]}",
     "test event: \"label_thresholds\" is [0.5,null], expected an array of finite numbers"},
};

static void names_what_is_wrong(void **state)
{
    struct error err;
    struct journal_lines lines;
    const struct event *event;
    char place[96];
    snprintf(place, sizeof(place), "%s:2: ", path);
    for (size_t i = 0; i < sizeof(bad_events) / sizeof(bad_events[0]); i++) {
        append_text("{\"event\":\"left_out\",\"start\":\"cnn\"}");
        append_text(bad_events[i].json);
        assert_ok(journal_load(path, &lines, &err), err);
        struct event_reader reader = event_reader_open(path, &lines);
        assert_ok(event_next(&reader, &event, &err), err);
        enum status st = event_next(&reader, &event, &err);
        if (bad_events[i].expected == NULL) {
            assert_ok(st, err);
            assert_true(isnan(event->epoch.loss) && isnan(event->epoch.images_per_second));
        } else {
            assert_int_equal(st, ST_FORMAT);
            assert_null(event);
            assert_memory_equal(err.message, place, strlen(place));
            assert_string_equal(err.message + strlen(place), bad_events[i].expected);
        }
        event_reader_close(&reader);
        journal_lines_free(&lines);
        remove_journal(state);
    }
}

/* ---- the reference ---- */

#define TYPE_INT32         "whole number"
#define TYPE_INT32_OR_NONE "whole number"
#define TYPE_UINT32        "whole number"
#define TYPE_INT64         "whole number"
#define TYPE_NUMBER        "number"
#define TYPE_RESULT        "number or null"
#define TYPE_FLAG          "true or false"
#define TYPE_TEXT          "string"
#define TYPE_TEXTS         "strings"
#define TYPE_SHAPE         "three whole numbers"
#define TYPE_MATRIX        "square of whole numbers"
#define TYPE_TABLE         "rows of whole numbers"
#define TYPE_NUMBERS       "numbers"
#define TYPE_GRAPH         "object"
#define NOTE_ALWAYS        ""
#define NOTE_SOMETIMES     "; may be absent"
#define NOTE_CLOCK         "; the clock decides it"
#define NOTE_JOB           ""
#define NOTE_AT_ONCE       ""
#define NOTE_LATER         "\nIt is on disk when the next other event is."

static void print_since(FILE *out, const char *before, int32_t since)
{
    if (since > 1)
        fprintf(out, "%ssince format %d", before, (int)since);
}

static void print_reference(FILE *out)
{
    fputs("# The journal's events\n\nMade from `events.def`, by `test_events --write-reference`. Every line "
          "also has "
          "`seq` (a whole number from 0), `time`\n(seconds of work on the run), `event` and, last, `crc` "
          "(`journal.h`). `null` stands for a number that is not finite.\n",
          out);
#define EVENT(KIND, name, flush, since, when)                                                                \
    fprintf(out, "\n## `%s`\n\n%s%s", #name, when, NOTE_##flush);                                            \
    print_since(out, " It is there ", since);                                                                \
    fputs(since > 1 ? ".\n" : "\n", out);                                                                    \
    fputs("\n| field | what | type | unit |\n|---|---|---|---|\n", out);
#define EVENT_PART(part)                                                                                     \
    fputs("\n## `" #part "`, inside of another\n\n| field | what | type | unit |\n|---|---|---|---|\n", out);
#define EVENT_FIELD(owner, field, type, presence, since, cause, unit, meaning)                               \
    fprintf(out, "| `%s` | %s%s%s", #field, meaning, NOTE_##presence, NOTE_##cause);                         \
    print_since(out, "; ", since);                                                                           \
    fprintf(out, " | %s | %s |\n", TYPE_##type, unit);
#define EVENT_INSIDE(owner, part, since, meaning)                                                            \
    fprintf(out, "| `%s` | %s", #part, meaning);                                                             \
    print_since(out, "; ", since);                                                                           \
    fputs(" | object, above | |\n", out);
#include "host/journal/events.def"
}

static void has_a_reference(void **state)
{
    (void)state;
    char *printed = NULL, *stored;
    size_t length = 0;
    struct error err;
    FILE *out = open_memstream(&printed, &length);
    assert_non_null(out);
    print_reference(out);
    fclose(out);
    assert_ok(file_read(reference_file, &stored, &length, &err), err);
    if (strcmp(stored, printed) != 0)
        fail_msg("%s is out of date: test_events --write-reference", reference_file);
    free(printed);
    free(stored);
}

static int write_reference(void)
{
    FILE *out = fopen(reference_file, "w");
    if (out == NULL)
        return EXIT_FAILURE;
    print_reference(out);
    return fclose(out) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- journals that were edited ---- */

/* Each line from its time on, up to its checksum. */
static int seal(const char *file)
{
    struct error err;
    char *text, *rest, *sealed = NULL;
    size_t length, number = 0, sealed_length = 0;
    if (file_read(file, &text, &length, &err) != ST_OK) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    FILE *out = open_memstream(&sealed, &sealed_length);
    for (char *line = strtok_r(text, "\n", &rest); out != NULL && line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *time = strstr(line, "\"time\":"), *sum = strstr(line, ",\"crc\":"), *body = NULL;
        if (sum != NULL)
            *sum = '\0';
        if (time == NULL || asprintf(&body, "{\"seq\":%zu,%s", number++, time) < 0)
            break;
        fprintf(out, "%s,\"crc\":\"%08x\"}\n", body, file_checksum(body, strlen(body)));
        free(body);
    }
    enum status st = out != NULL && fclose(out) == 0 ? file_write_atomic(file, sealed, sealed_length, &err)
                                                     : error_memory(&err, file, length);
    free(sealed);
    free(text);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(writes_what_it_read, remove_journal),
        cmocka_unit_test(has_every_field_in_its_journal),
        cmocka_unit_test_teardown(leaves_out_what_is_absent, remove_journal),
        cmocka_unit_test_teardown(refuses_to_write_what_it_would_not_read, remove_journal),
        cmocka_unit_test(reads_the_journals_of_all_formats),
        cmocka_unit_test_teardown(misses_a_field_from_its_format_on, remove_journal),
        cmocka_unit_test_teardown(passes_over_what_it_does_not_know, remove_journal),
        cmocka_unit_test_teardown(names_what_is_wrong, remove_journal),
        cmocka_unit_test(has_a_reference),
    };
    if (argc == 2 && strcmp(argv[1], "--write-reference") == 0)
        return write_reference();
    if (argc == 3 && strcmp(argv[1], "--seal") == 0)
        return seal(argv[2]);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
