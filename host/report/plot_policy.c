/* A policy that proposes: its rewards, and its entropy. */
#include "host/report/axes.h"
#include "host/report/plots.h"

#include <math.h>

enum { WIDTH = 1200, HEIGHT = 900, LEFT = 110, RIGHT = 40 };

static bool has_policy(const struct history_model *model)
{
    return !model->final && !model->baseline && isfinite(model->policy_entropy);
}

/* As host/search/reinforce.c has it; of a model in training NAN. */
static double reward_of(const struct history_model *model)
{
    if (!model->finished && !model->failed)
        return NAN;
    return isfinite(model->validation_accuracy) ? pow(model->validation_accuracy, 3.0) : 0.0;
}

/* What a panel has of a model. */
typedef double value_of(const struct history_model *model);

static double baseline_of(const struct history_model *model)
{
    return model->policy_baseline;
}

static double entropy_of(const struct history_model *model)
{
    return model->policy_entropy;
}

static void reach(struct axes *axes, const struct history *history, value_of *value)
{
    for (int32_t i = 0; i < history->model_count; i++) {
        if (!has_policy(&history->models[i]))
            continue;
        axes->y_low = fmin(axes->y_low, value(&history->models[i])); /* NAN is passed over */
        axes->y_high = fmax(axes->y_high, value(&history->models[i]));
    }
}

static void draw_line(struct canvas *canvas, const struct axes *axes, const struct history *history,
                      value_of *value, struct colour colour)
{
    canvas_colour(canvas, colour);
    cairo_set_line_width(canvas->cairo, 2.5);
    cairo_new_path(canvas->cairo);
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        if (has_policy(model) && isfinite(value(model)))
            cairo_line_to(canvas->cairo, axes_x(axes, (double)model->id), axes_y(axes, value(model)));
    }
    cairo_stroke(canvas->cairo);
}

static void draw_rewards(struct canvas *canvas, const struct axes *axes, const struct history *history)
{
    canvas_colour(canvas, COLOUR_GREY);
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        if (has_policy(model) && isfinite(reward_of(model)))
            canvas_mark(canvas, axes_x(axes, (double)model->id), axes_y(axes, reward_of(model)), MARK_DISC,
                        5);
    }
}

enum status plot_policy(struct picture *picture, const struct history *history, struct error *err)
{
    const struct legend_entry legend[] = {
        {COLOUR_GREY, 0, MARK_DISC, "reward of a candidate"},
        {COLOUR_BLUE, 2.5, MARK_NONE, "moving average of those before"},
        {COLOUR_ORANGE, 2.5, MARK_NONE, "entropy of a token, mean of the candidate's"}};
    struct axes rewards = {.left = LEFT,
                           .top = 100,
                           .width = WIDTH - LEFT - RIGHT,
                           .height = 420,
                           .y_low = INFINITY,
                           .y_high = -INFINITY,
                           .y_label = "reward (accuracy cubed)"};
    struct axes entropies = rewards;
    struct canvas canvas;
    int32_t last = -1;
    for (int32_t i = 0; i < history->model_count; i++)
        if (has_policy(&history->models[i]))
            last = i;
    if (last < 0)
        return ST_OK;
    enum status st = canvas_open(&canvas, picture, WIDTH, HEIGHT, err);
    if (st != ST_OK)
        return st;
    rewards.x_high = entropies.x_high = (double)history->models[last].id + 1.0;
    entropies.top = 550;
    entropies.height = 255;
    entropies.x_label = "candidate";
    entropies.y_label = "entropy (nats)";
    reach(&rewards, history, reward_of);
    reach(&rewards, history, baseline_of);
    reach(&entropies, history, entropy_of);
    axes_round_range(&rewards.y_low, &rewards.y_high);
    axes_round_range(&entropies.y_low, &entropies.y_high);
    canvas_title(&canvas, "What the policy has learned");
    canvas_legend(&canvas, LEFT, 74, legend, sizeof(legend) / sizeof(legend[0]));
    axes_draw(&canvas, &rewards);
    axes_draw(&canvas, &entropies);
    draw_rewards(&canvas, &rewards, history);
    draw_line(&canvas, &rewards, history, baseline_of, COLOUR_BLUE);
    draw_line(&canvas, &entropies, history, entropy_of, COLOUR_ORANGE);
    st = canvas_save(&canvas, err);
    canvas_close(&canvas);
    return st;
}
