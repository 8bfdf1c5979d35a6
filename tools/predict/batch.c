#include "tools/predict/batch.h"

#include "tools/common/commands.h"

#include <stdlib.h>
#include <string.h>

enum status batch_open(struct batch *batch, int32_t most, struct error *err)
{
    *batch = (struct batch){.most = most};
    batch->rows = calloc((size_t)most, sizeof(*batch->rows));
    batch->answer_stream = open_memstream(&batch->answers, &batch->answer_length);
    batch->failure_stream = open_memstream(&batch->failures, &batch->failure_length);
    if (batch->rows == NULL || batch->answer_stream == NULL || batch->failure_stream == NULL)
        return error_memory(err, "a batch of images", (size_t)most * sizeof(*batch->rows));
    return ST_OK;
}

void batch_close(struct batch *batch)
{
    if (batch->answer_stream != NULL)
        fclose(batch->answer_stream);
    if (batch->failure_stream != NULL)
        fclose(batch->failure_stream);
    free(batch->answers);
    free(batch->failures);
    free(batch->texts);
    free(batch->rows);
    *batch = (struct batch){0};
}

/* The row's text is that from now on. */
static enum status set_text(struct batch *batch, struct batch_row *row, const char *text, struct error *err)
{
    const size_t size = strlen(text) + 1;
    if (batch->text_length + size > batch->text_capacity) {
        const size_t capacity = 2 * (batch->text_length + size);
        char *texts = realloc(batch->texts, capacity);
        if (texts == NULL)
            return error_memory(err, "a batch's paths", capacity);
        batch->texts = texts;
        batch->text_capacity = capacity;
    }
    row->text = batch->text_length;
    memcpy(batch->texts + row->text, text, size);
    batch->text_length += size;
    return ST_OK;
}

enum status batch_fill(struct batch *batch, struct source *source, struct error *err)
{
    batch->count = 0;
    batch->text_length = 0;
    batch->stopped = false;
    while (batch->count < batch->most) {
        struct source_item item;
        struct batch_row *row = &batch->rows[batch->count];
        enum status st = source_next(source, &item, err);
        if (st != ST_OK)
            return st;
        if (item.kind == SOURCE_END)
            break;
        *row = (struct batch_row){.image = item.image, .failed = item.kind == SOURCE_FAILED};
        st = set_text(batch, row, row->failed ? err->message : item.name, err);
        if (st != ST_OK)
            return st;
        batch->count++;
    }
    return ST_OK;
}

enum status batch_decode(struct batch *batch, const struct source *source, struct image_reader *reader,
                         size_t image_bytes, uint8_t *pixels, struct error *err)
{
    for (int32_t i = 0; i < batch->count; i++) {
        struct batch_row *row = &batch->rows[i];
        uint8_t *to = pixels + (size_t)i * image_bytes;
        if (row->image >= 0) {
            memcpy(to, source->data.pixels + (size_t)row->image * image_bytes, image_bytes);
            continue;
        }
        if (!row->failed && image_reader_read(reader, batch->texts + row->text, to, err) != ST_OK) {
            if (err->status == ST_MEMORY)
                return ST_MEMORY;
            row->failed = true;
            if (set_text(batch, row, err->message, err) != ST_OK)
                return ST_MEMORY;
        }
        if (row->failed) /* its place stays, so that the others' places do not depend on it */
            memset(to, 0, image_bytes);
    }
    return ST_OK;
}

bool batch_has_images(const struct batch *batch)
{
    bool some = false;
    for (int32_t i = 0; i < batch->count; i++)
        some = some || !batch->rows[i].failed;
    return some;
}

enum status batch_write(struct batch *batch, const struct source *source, const struct answer_style *style,
                        const float *probabilities, bool stop, struct answer_room *room, struct error *err)
{
    rewind(batch->answer_stream);
    rewind(batch->failure_stream);
    batch->classified = batch->failed = 0;
    for (int32_t i = 0; i < batch->count && !batch->stopped; i++) {
        const struct batch_row *row = &batch->rows[i];
        const char *text = batch->texts + row->text;
        if (row->failed) {
            fprintf(batch->failure_stream, "%s: %s\n", naspredict_command.name, text);
            batch->failed++;
            batch->stopped = stop;
        } else {
            answers_line(style, text, probabilities + (size_t)i * (size_t)style->about->classes,
                         row->image >= 0 ? source->data.labels[row->image] : 0, room, batch->answer_stream);
            batch->classified++;
        }
    }
    if (fflush(batch->answer_stream) != 0 || fflush(batch->failure_stream) != 0 ||
        ferror(batch->answer_stream) || ferror(batch->failure_stream))
        return error_memory(err, "a batch's answers", batch->answer_length);
    return ST_OK;
}
