/* Whether probabilities are as sure as they may be: of the images whose answer has a probability, how many are right;
 * where images have several labels, of the images and classes with a probability, how many belong together. */
#include "host/report/axes.h"
#include "host/report/plots.h"
#include "host/report/scores.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 900, HEIGHT = 1060, LEFT = 110, RIGHT = 40 };

/* Of the test images. How many answers there are: one of each, or one for each class. */
static int64_t fill(const struct predictions *predictions, struct scores_bin bins[SCORES_BINS])
{
    const int32_t images = predictions_tests(predictions), classes = predictions->classes;
    const bool several = predictions->label_sets != NULL;
    for (int i = 0; i < SCORES_BINS; i++)
        bins[i] = (struct scores_bin){0};
    for (int32_t i = 0; i < images; i++) {
        const struct predicted_image *row = &predictions->rows[i];
        const float *answer = predictions->probabilities + (size_t)i * (size_t)classes;
        if (!several)
            scores_count(bins, (double)answer[row->predicted], row->predicted == row->truth);
        for (int32_t k = 0; several && k < classes; k++)
            scores_count(bins, (double)answer[k],
                         labels_have(predictions->label_sets, classes, row->truth, k));
    }
    return several ? (int64_t)images * classes : images;
}

static double share_of(double part, double all)
{
    return all > 0 ? part / all : 0;
}

/* Bars of accuracy, with 95 % around them, and what they should be. */
static void draw_bars(struct canvas *canvas, const struct axes *axes,
                      const struct scores_bin bins[SCORES_BINS])
{
    static const double dashes[] = {8, 6};
    const double bottom = axes_y(axes, 0);
    for (int i = 0; i < SCORES_BINS; i++) {
        if (bins[i].images == 0)
            continue;
        const double left = axes_x(axes, (double)i / SCORES_BINS),
                     right = axes_x(axes, (i + 1.0) / SCORES_BINS);
        const double mean = axes_x(axes, bins[i].probability / (double)bins[i].images);
        double low, high;
        canvas_colour(canvas, COLOUR_PALE_BLUE);
        const double top = axes_y(axes, share_of((double)bins[i].right, (double)bins[i].images));
        cairo_rectangle(canvas->cairo, left + 1, top, right - left - 2, bottom - top);
        cairo_fill(canvas->cairo);
        scores_interval(bins[i].right, bins[i].images, &low, &high);
        canvas_colour(canvas, COLOUR_BLUE);
        cairo_set_line_width(canvas->cairo, 2);
        cairo_move_to(canvas->cairo, mean, axes_y(axes, low));
        cairo_line_to(canvas->cairo, mean, axes_y(axes, high));
        cairo_stroke(canvas->cairo);
        canvas_mark(canvas, mean, top, MARK_DISC, 5);
    }
    canvas_colour(canvas, COLOUR_RED);
    cairo_set_dash(canvas->cairo, dashes, 2, 0);
    cairo_move_to(canvas->cairo, axes_x(axes, 0), axes_y(axes, 0));
    cairo_line_to(canvas->cairo, axes_x(axes, 1), axes_y(axes, 1));
    cairo_stroke(canvas->cairo);
    cairo_set_dash(canvas->cairo, NULL, 0, 0);
}

static void draw_shares(struct canvas *canvas, const struct axes *axes,
                        const struct scores_bin bins[SCORES_BINS], int64_t images)
{
    const double bottom = axes_y(axes, 0);
    canvas_colour(canvas, COLOUR_GREY);
    for (int i = 0; i < SCORES_BINS; i++) {
        const double left = axes_x(axes, (double)i / SCORES_BINS),
                     right = axes_x(axes, (i + 1.0) / SCORES_BINS);
        const double top = axes_y(axes, share_of((double)bins[i].images, (double)images));
        cairo_rectangle(canvas->cairo, left + 1, top, right - left - 2, bottom - top);
        cairo_fill(canvas->cairo);
    }
}

enum status plot_reliability(struct picture *picture, const struct predictions *predictions,
                             struct error *err)
{
    struct canvas canvas;
    struct scores_bin bins[SCORES_BINS];
    char title[384];
    double most = 0;
    const bool several = predictions->label_sets != NULL;
    const int64_t images = fill(predictions, bins);
    enum status st = canvas_open(&canvas, picture, WIDTH, HEIGHT, err);
    if (st != ST_OK)
        return st;
    for (int i = 0; i < SCORES_BINS; i++)
        most = fmax(most, share_of((double)bins[i].images, (double)images));
    const struct axes accuracy = {.left = LEFT,
                                  .top = 100,
                                  .width = WIDTH - LEFT - RIGHT,
                                  .height = WIDTH - LEFT - RIGHT,
                                  .x_high = 1,
                                  .y_high = 1,
                                  .y_label = several ? "part of the pairs of image and label that are true"
                                                     : "accuracy of these images"};
    struct axes shares = accuracy;
    shares.top = 875;
    shares.height = 110;
    shares.x_label = several ? "probability of a label" : "probability of the answer";
    shares.y_label = several ? "pairs" : "images";
    shares.y_high = most > 0 ? most : 1;
    axes_round_range(&shares.y_low, &shares.y_high);
    snprintf(title, sizeof(title), "Reliability: calibration error %.4f on %lld %s",
             images > 0 ? scores_calibration_error(bins) : 0, (long long)images,
             several ? "pairs" : "test images");
    const struct legend_entry legend[] = {
        {COLOUR_BLUE, 2, MARK_DISC,
         several ? "part that is true, and its interval of 95 %" : "accuracy, and its interval of 95 %"},
        {COLOUR_RED, 2, MARK_NONE, "as sure as it may be"}};
    canvas_title(&canvas, title);
    canvas_legend(&canvas, LEFT, 74, legend, 2);
    axes_draw(&canvas, &accuracy);
    draw_bars(&canvas, &accuracy, bins);
    axes_draw(&canvas, &shares);
    draw_shares(&canvas, &shares, bins, images);
    st = canvas_save(&canvas, err);
    canvas_close(&canvas);
    return st;
}

void data_reliability(FILE *out, const struct predictions *predictions)
{
    struct scores_bin bins[SCORES_BINS];
    fill(predictions, bins);
    fprintf(out, "from,to,images,right,probability\n");
    for (int i = 0; i < SCORES_BINS; i++) {
        fprintf(out, "%.17g,%.17g,%lld,%lld,", (double)i / SCORES_BINS, (i + 1.0) / SCORES_BINS,
                (long long)bins[i].images, (long long)bins[i].right);
        if (bins[i].images > 0)
            fprintf(out, "%.17g", bins[i].probability / (double)bins[i].images);
        fputc('\n', out);
    }
}
