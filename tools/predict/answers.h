/* How the answers are written, an image a line:
 *
 * tsv    path, class, probability, separated by tabs. In names \t, \n, \r and \\ stand for a tab, the ends of a line
 *        and a backslash.
 * csv    the same with commas by RFC 4180 (host/base/csv.h), below a line of the columns' names: path, class,
 *        probability.
 * jsonl  {"path":"...","class":"...","probability":0.98}. A path that is no UTF-8 has U+FFFD for each wrong byte, and
 *        is whole in "path_base64".
 *
 * With top = K there are class_2, probability_2 and so on behind these, the next most probable; in jsonl "top" has all
 * K. With all the probabilities of all classes follow, p_NAME in the order of the network's outputs; in jsonl
 * "probabilities". Of data the true class comes last, "truth". An image below its threshold has no class: nothing, in
 * jsonl null; the probability stays that of the most probable.
 *
 * Where images have several labels, those that reach their thresholds are told, the most probable first, possibly none:
 *
 * tsv    path, labels, probability: names, and their probabilities in the same order, with "|" between them.
 * csv    the same with names of columns: path, labels, probability.
 * jsonl  {"path":"...","labels":["cat","dog"],"probability":[0.98,0.75]}
 *
 * With top = K from 2 on the K most probable classes follow, whether they are given or not: class_1, probability_1 and
 * so on. The truth is names with "|" between them, in jsonl an array; so it is of any data with several labels. */
#ifndef NASRUN_TOOLS_PREDICT_ANSWERS_H
#define NASRUN_TOOLS_PREDICT_ANSWERS_H

#include "host/model/model_file.h"
#include "tools/predict/options.h"

#include <stdio.h>

struct answer_style {
    enum answer_format format;
    int32_t top;
    bool all;
    const struct dataset *data; /* whose true classes or labels are told; NULL: none are */
    bool shown;                 /* on a terminal: what would steer it is a '?' */
    const double *thresholds;   /* [classes]; NULL: there are none; never where images have several labels */
    const struct model_about *about;
};

/* What a line is made in, and another after it. */
struct answer_room {
    int32_t *order; /* [classes] */
    char *names;    /* of all classes, with what is between them */
};
enum status answer_room_open(struct answer_room *room, const struct model_about *about, struct error *err);
void answer_room_close(struct answer_room *room); /* a zeroed one is allowed */

/* The line of names; errors of writing stick in the stream, here and below. */
void answers_head(const struct answer_style *style, FILE *out);
/* The line of an image. probabilities[classes]; truth: its label in style->data. */
void answers_line(const struct answer_style *style, const char *path, const float *probabilities,
                  int32_t truth, struct answer_room *room, FILE *out);

#endif
