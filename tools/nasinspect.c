/* nasinspect RUN [ID]: the models of a run, one of them with its weights, or one of them derived again. */
#include "host/base/streams.h"
#include "host/report/inspect.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/inspect/print.h"
#include "tools/inspect/replay.h"
#include "tools/inspect/weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct options {
    enum print_format format;
    int32_t replay; /* -1: not asked for */
};

static enum status read_id(const char *text, int32_t *id, struct error *err)
{
    char *end;
    errno = 0;
    const long read = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || read > INT32_MAX)
        return error_set(err, ST_RANGE, "found \"%.100s\", expected the id of a model, as 3", text);
    *id = (int32_t)read;
    return ST_OK;
}

static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    static const char *const formats[] = {[PRINT_TEXT] = "text", [PRINT_JSON] = "json", [PRINT_CSV] = "csv"};
    struct options *options = context;
    if (line->option == INSPECT_OPTION_REPLAY)
        return read_id(line->value, &options->replay, err);
    for (int i = PRINT_TEXT; i <= PRINT_CSV; i++)
        if (strcmp(line->value, formats[i]) == 0) {
            options->format = (enum print_format)i;
            return ST_OK;
        }
    return error_set(err, ST_RANGE, "--format: found \"%.100s\", expected text, json or csv", line->value);
}

static enum status show_one(const char *run, cJSON *models, const char *text, enum print_format format,
                            struct error *err)
{
    cJSON *model = models->child, *weights = NULL, *thresholds = NULL;
    int32_t id = -1;
    enum status st = read_id(text, &id, err);
    while (model != NULL && cJSON_GetNumberValue(cJSON_GetObjectItem(model, "id")) != id)
        model = model->next;
    if (st == ST_OK && model == NULL)
        st = error_set(err, ST_RANGE, "%s: model %d is not in the journal", run, (int)id);
    if (st == ST_OK)
        st = weights_json(run, id, cJSON_GetStringValue(cJSON_GetObjectItem(model, "hash")), &weights,
                          &thresholds, err);
    if (st == ST_OK && thresholds != NULL && !cJSON_AddItemToObject(model, "label_thresholds", thresholds)) {
        cJSON_Delete(thresholds);
        st = error_memory(err, "thresholds", 0);
    }
    if (st == ST_OK)
        st = print_model(model, weights, format, stdout, err);
    cJSON_Delete(weights);
    return st;
}

static enum status show(const struct command_line *line, const struct options *options, struct error *err)
{
    cJSON *models = NULL;
    enum status st = inspect_run(line->words[0], &models, err);
    if (st == ST_OK)
        st = line->word_count > 1 ? show_one(line->words[0], models, line->words[1], options->format, err)
                                  : print_models(models, options->format, stdout, err);
    cJSON_Delete(models);
    return st == ST_OK ? streams_flush_output(err) : st;
}

static enum status replay(const char *run, int32_t id, struct error *err)
{
    char found[REPLAY_HASH_LENGTH], *expected = NULL;
    enum status st = inspect_can_repeat(run, id, &expected, err);
    if (st == ST_OK)
        st = replay_model(run, id, found, err);
    if (st == ST_OK && strcmp(found, expected) != 0)
        st = error_set(err, ST_DIVERGED, "model %d: derived again it has the hash %s, expected %s", (int)id,
                       found, expected);
    if (st == ST_OK)
        printf("model %d: derived again, the same bytes, %s\n", (int)id, expected);
    free(expected);
    return st;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct options options = {.replay = -1};
    struct error err;
    int status;

    if (!arguments_read(&nasinspect_command, argc, argv, take_option, &options, &line, &status))
        return status;
    enum status st = options.replay >= 0 && line.word_count > 1
                         ? error_set(&err, ST_RANGE, "found an ID beside --replay, expected one of them")
                     : options.replay >= 0 ? replay(line.words[0], options.replay, &err)
                                           : show(&line, &options, &err);
    if (st != ST_OK)
        fprintf(stderr, "nasinspect: %s\n", err.message);
    return st == ST_OK ? COMMAND_DONE : COMMAND_ERROR;
}
