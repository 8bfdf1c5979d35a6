#include "tools/predict/answers.h"

#include "host/base/csv.h"
#include "host/base/text.h"

#include <limits.h>
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

void answers_head(const struct answer_style *style, FILE *out)
{
    char name[NUMBER_BYTES];
    if (style->format != FORMAT_CSV)
        return;
    fputs("path,class,probability", out);
    for (int32_t k = 2; k <= style->top; k++) {
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
    fputs(style->truth ? ",truth\n" : "\n", out);
}

static void write_table(const struct answer_style *style, const char *path, const float *probabilities,
                        int32_t truth, const int32_t *order, bool sure, FILE *out)
{
    char **names = style->about->class_names;
    write_field(style, true, path, out);
    for (int32_t k = 0; k < style->top; k++) {
        write_field(style, false, k > 0 || sure ? names[order[k]] : "", out);
        write_probability(style, probabilities[order[k]], out);
    }
    for (int32_t k = 0; style->all && k < style->about->classes; k++)
        write_probability(style, probabilities[k], out);
    if (style->truth)
        write_field(style, false, names[truth], out);
    putc_unlocked('\n', out);
}

/* ---- JSON ---- */

static void write_json(const struct answer_style *style, const char *path, const float *probabilities,
                       int32_t truth, const int32_t *order, bool sure, FILE *out)
{
    char **names = style->about->class_names;
    fputs("{\"path\":", out);
    if (json_write(out, path)) {
        fputs(",\"path_base64\":\"", out);
        base64_write(out, path);
        putc_unlocked('"', out);
    }
    fputs(",\"class\":", out);
    if (sure)
        json_write(out, names[order[0]]);
    else
        fputs("null", out);
    fputs(",\"probability\":", out);
    write_number(out, probabilities[order[0]]);
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
    if (style->truth) {
        fputs(",\"truth\":", out);
        json_write(out, names[truth]);
    }
    fputs("}\n", out);
}

/* ---- a line ---- */

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

void answers_line(const struct answer_style *style, const char *path, const float *probabilities,
                  int32_t truth, int32_t *order, FILE *out)
{
    char shown[PATH_MAX];
    put_in_order(probabilities, style->about->classes, style->top, order);
    const bool sure =
        style->thresholds == NULL || (double)probabilities[order[0]] >= style->thresholds[order[0]];
    if (style->shown)
        path = text_shown(path, shown, sizeof(shown));
    if (style->format == FORMAT_JSONL)
        write_json(style, path, probabilities, truth, order, sure, out);
    else
        write_table(style, path, probabilities, truth, order, sure, out);
}
