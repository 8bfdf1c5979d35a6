#include "tools/predict/answers.h"

#include "host/base/csv.h"
#include "host/base/text.h"
#include "host/report/predictions.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { NUMBER_BYTES = 32 };

/* ---- texts ---- */

static void tsv_write(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '\t':
            fputs("\\t", out);
            break;
        case '\n':
            fputs("\\n", out);
            break;
        case '\r':
            fputs("\\r", out);
            break;
        case '\\':
            fputs("\\\\", out);
            break;
        default:
            putc_unlocked(*text, out);
        }
}

/* Between quotes, as UTF-8; true when `text` was none and has U+FFFD where bytes are wrong. */
static bool json_write(FILE *out, const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    bool foreign = false;
    putc_unlocked('"', out);
    for (utf8proc_ssize_t length; *at != '\0'; at += length) {
        utf8proc_int32_t sign;
        length = utf8proc_iterate(at, -1, &sign);
        if (length < 1) {
            length = 1;
            foreign = true;
            fputs("\xef\xbf\xbd", out);
        } else if (sign == '"' || sign == '\\') {
            fprintf(out, "\\%c", (char)sign);
        } else if (sign < 0x20 || sign == 0x7f) {
            fprintf(out, "\\u%04x", (unsigned)sign);
        } else {
            fwrite_unlocked(at, 1, (size_t)length, out);
        }
    }
    putc_unlocked('"', out);
    return foreign;
}

static void base64_write(FILE *out, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = (const unsigned char *)text;
    for (size_t left = strlen(text); left > 0;) {
        const size_t taken = left < 3 ? left : 3;
        const unsigned long bits = (unsigned long)at[0] << 16 | (taken > 1 ? (unsigned long)at[1] << 8 : 0) |
                                   (taken > 2 ? (unsigned long)at[2] : 0);
        for (size_t k = 0; k < 4; k++)
            putc_unlocked(k <= taken ? digits[bits >> (18 - 6 * k) & 63] : '=', out);
        at += taken;
        left -= taken;
    }
}

static void write_number(FILE *out, float value)
{
    fprintf(out, "%.6g", (double)value);
}

/* ---- what an image has ---- */

static bool has_labels(const struct answer_style *style)
{
    return style->about->label_thresholds != NULL;
}

/* The `top` most probable classes, of equals the first before the others. */
static void put_in_order(const float *probabilities, int32_t classes, int32_t top, int32_t *order)
{
    int32_t count = 0;
    for (int32_t k = 0; k < classes; k++) {
        int32_t at = count < top ? count++ : top;
        for (; at > 0 && probabilities[order[at - 1]] < probabilities[k]; at--)
            if (at < top)
                order[at] = order[at - 1];
        if (at < top)
            order[at] = k;
    }
}

/* Whether the image's most probable class is. */
static bool is_sure(const struct answer_style *style, const float *probabilities, int32_t class)
{
    return style->thresholds == NULL || (double)probabilities[class] >= style->thresholds[class];
}

/* The classes that reach their thresholds, in the same order; how many. */
static int32_t put_given_in_order(const struct answer_style *style, const float *probabilities,
                                  int32_t *order)
{
    int32_t count = 0;
    for (int32_t k = 0; k < style->about->classes; k++) {
        int32_t at = count;
        if (!((double)probabilities[k] >= style->thresholds[k]))
            continue;
        for (; at > 0 && probabilities[order[at - 1]] < probabilities[k]; at--)
            order[at] = order[at - 1];
        order[at] = k;
        count++;
    }
    return count;
}

/* The classes of an image's true label, in the order of the network's outputs; how many. */
static int32_t put_truth(const struct answer_style *style, int32_t truth, int32_t *order)
{
    int32_t count = 0;
    for (int32_t k = 0; k < style->about->classes; k++)
        if (labels_have(style->data->label_sets, style->about->classes, truth, k))
            order[count++] = k;
    return count;
}

enum status answer_room_open(struct answer_room *room, const struct model_about *about, struct error *err)
{
    size_t bytes = 1;
    for (int32_t k = 0; k < about->classes; k++)
        bytes += strlen(about->class_names[k]) + 1;
    *room = (struct answer_room){calloc((size_t)about->classes, sizeof(*room->order)), malloc(bytes)};
    return room->order != NULL && room->names != NULL ? ST_OK : error_memory(err, "answers", bytes);
}

void answer_room_close(struct answer_room *room)
{
    free(room->order);
    free(room->names);
    *room = (struct answer_room){0};
}

/* ---- tables ---- */

/* A text of a line, behind its separator when it is not the first. */
static void write_field(const struct answer_style *style, bool first, const char *text, FILE *out)
{
    if (!first)
        putc_unlocked(style->format == FORMAT_CSV ? ',' : '\t', out);
    if (style->format == FORMAT_CSV)
        csv_write(out, text);
    else
        tsv_write(out, text);
}

static void write_probability(const struct answer_style *style, float value, FILE *out)
{
    putc_unlocked(style->format == FORMAT_CSV ? ',' : '\t', out);
    write_number(out, value);
}

/* The names of the first `count` classes of the room's order, as one field. */
static void write_names(const struct answer_style *style, const struct answer_room *room, int32_t count,
                        FILE *out)
{
    char *end = room->names;
    for (int32_t k = 0; k < count; k++) {
        if (k > 0)
            *end++ = PREDICTIONS_BETWEEN;
        end = stpcpy(end, style->about->class_names[room->order[k]]);
    }
    *end = '\0';
    write_field(style, false, room->names, out);
}

/* Where the columns class_K of the next most probable classes begin. */
static int32_t first_of_top(const struct answer_style *style)
{
    return has_labels(style) ? 1 : 2;
}

void answers_head(const struct answer_style *style, FILE *out)
{
    char name[NUMBER_BYTES];
    if (style->format != FORMAT_CSV)
        return;
    fputs(has_labels(style) ? "path,labels,probability" : "path,class,probability", out);
    for (int32_t k = first_of_top(style); style->top > 1 && k <= style->top; k++) {
        snprintf(name, sizeof(name), "class_%d", (int)k);
        write_field(style, false, name, out);
        snprintf(name, sizeof(name), "probability_%d", (int)k);
        write_field(style, false, name, out);
    }
    for (int32_t k = 0; style->all && k < style->about->classes; k++) {
        char column[PATH_MAX];
        snprintf(column, sizeof(column), "p_%s", style->about->class_names[k]);
        write_field(style, false, column, out);
    }
    fputs(style->data != NULL ? ",truth\n" : "\n", out);
}

static void write_given(const struct answer_style *style, const float *probabilities,
                        const struct answer_room *room, FILE *out)
{
    const int32_t count = put_given_in_order(style, probabilities, room->order);
    write_names(style, room, count, out);
    if (count == 0)
        write_field(style, false, "", out);
    for (int32_t k = 0; k < count; k++) {
        if (k == 0) {
            write_probability(style, probabilities[room->order[k]], out);
            continue;
        }
        putc_unlocked(PREDICTIONS_BETWEEN, out);
        write_number(out, probabilities[room->order[k]]);
    }
}

static void write_table(const struct answer_style *style, const char *path, const float *probabilities,
                        int32_t truth, const struct answer_room *room, FILE *out)
{
    char **names = style->about->class_names;
    write_field(style, true, path, out);
    if (has_labels(style))
        write_given(style, probabilities, room, out);
    put_in_order(probabilities, style->about->classes, style->top, room->order);
    if (!has_labels(style)) {
        write_field(style, false, is_sure(style, probabilities, room->order[0]) ? names[room->order[0]] : "",
                    out);
        write_probability(style, probabilities[room->order[0]], out);
    }
    for (int32_t k = first_of_top(style) - 1; style->top > 1 && k < style->top; k++) {
        write_field(style, false, names[room->order[k]], out);
        write_probability(style, probabilities[room->order[k]], out);
    }
    for (int32_t k = 0; style->all && k < style->about->classes; k++)
        write_probability(style, probabilities[k], out);
    if (style->data != NULL)
        write_names(style, room, put_truth(style, truth, room->order), out);
    putc_unlocked('\n', out);
}

/* ---- JSON ---- */

/* The names of the first `count` classes of the order. */
static void write_json_names(const struct answer_style *style, const int32_t *order, int32_t count, FILE *out)
{
    putc_unlocked('[', out);
    for (int32_t k = 0; k < count; k++) {
        if (k > 0)
            putc_unlocked(',', out);
        json_write(out, style->about->class_names[order[k]]);
    }
    putc_unlocked(']', out);
}

static void write_json_given(const struct answer_style *style, const float *probabilities, int32_t *order,
                             FILE *out)
{
    const int32_t count = put_given_in_order(style, probabilities, order);
    fputs(",\"labels\":", out);
    write_json_names(style, order, count, out);
    fputs(",\"probability\":[", out);
    for (int32_t k = 0; k < count; k++) {
        if (k > 0)
            putc_unlocked(',', out);
        write_number(out, probabilities[order[k]]);
    }
    putc_unlocked(']', out);
}

static void write_json_class(const struct answer_style *style, const float *probabilities, int32_t class,
                             FILE *out)
{
    fputs(",\"class\":", out);
    if (is_sure(style, probabilities, class))
        json_write(out, style->about->class_names[class]);
    else
        fputs("null", out);
    fputs(",\"probability\":", out);
    write_number(out, probabilities[class]);
}

static void write_json_truth(const struct answer_style *style, int32_t truth, int32_t *order, FILE *out)
{
    fputs(",\"truth\":", out);
    if (style->data->label_sets != NULL)
        write_json_names(style, order, put_truth(style, truth, order), out);
    else
        json_write(out, style->about->class_names[truth]);
}

static void write_json(const struct answer_style *style, const char *path, const float *probabilities,
                       int32_t truth, int32_t *order, FILE *out)
{
    char **names = style->about->class_names;
    fputs("{\"path\":", out);
    if (json_write(out, path)) {
        fputs(",\"path_base64\":\"", out);
        base64_write(out, path);
        putc_unlocked('"', out);
    }
    if (has_labels(style))
        write_json_given(style, probabilities, order, out);
    put_in_order(probabilities, style->about->classes, style->top, order);
    if (!has_labels(style))
        write_json_class(style, probabilities, order[0], out);
    for (int32_t k = 0; style->top > 1 && k < style->top; k++) {
        fputs(k == 0 ? ",\"top\":[{\"class\":" : ",{\"class\":", out);
        json_write(out, names[order[k]]);
        fputs(",\"probability\":", out);
        write_number(out, probabilities[order[k]]);
        fputs(k == style->top - 1 ? "}]" : "}", out);
    }
    for (int32_t k = 0; style->all && k < style->about->classes; k++) {
        fputs(k == 0 ? ",\"probabilities\":{" : ",", out);
        json_write(out, names[k]);
        putc_unlocked(':', out);
        write_number(out, probabilities[k]);
        if (k == style->about->classes - 1)
            putc_unlocked('}', out);
    }
    if (style->data != NULL)
        write_json_truth(style, truth, order, out);
    fputs("}\n", out);
}

/* ---- a line ---- */

void answers_line(const struct answer_style *style, const char *path, const float *probabilities,
                  int32_t truth, struct answer_room *room, FILE *out)
{
    char shown[PATH_MAX];
    if (style->shown)
        path = text_shown(path, shown, sizeof(shown));
    if (style->format == FORMAT_JSONL)
        write_json(style, path, probabilities, truth, room->order, out);
    else
        write_table(style, path, probabilities, truth, room, out);
}
