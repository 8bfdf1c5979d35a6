/* What the plots show, as comma-separated values; what is unknown is empty. */
#include "host/base/csv.h"
#include "host/report/plots.h"

#include <math.h>

static void print_number(FILE *out, double value)
{
    fputc(',', out);
    if (isfinite(value))
        fprintf(out, "%.17g", value);
}

void data_confusion(FILE *out, const struct history *history, const struct history_test *test,
                    const struct metrics *metrics)
{
    const size_t n = (size_t)metrics->classes;
    fprintf(out, "class,predicted,images,share\n");
    for (size_t i = 0; i < n * n; i++) {
        const double support = (double)metrics->of_class[i / n].support;
        csv_write(out, history->class_names[i / n]);
        fputc(',', out);
        csv_write(out, history->class_names[i % n]);
        fprintf(out, ",%lld", (long long)test->counts[i]);
        print_number(out, support > 0 ? (double)test->counts[i] / support : NAN);
        fputc('\n', out);
    }
}

void data_labels(FILE *out, const struct plots_stage *stage)
{
    fprintf(out, "class,threshold,true_negatives,false_positives,false_negatives,true_positives,precision,"
                 "recall,f1\n");
    for (int32_t k = 0; k < stage->metrics->classes; k++) {
        const struct class_metrics *m = &stage->metrics->of_class[k];
        csv_write(out, stage->history->class_names[k]);
        print_number(out, stage->test->thresholds[k]);
        for (int i = 0; i < LABELS_COUNTS; i++)
            fprintf(out, ",%lld",
                    (long long)stage->test->labels.counts[(size_t)k * LABELS_COUNTS + (size_t)i]);
        print_number(out, m->precision);
        print_number(out, m->recall);
        print_number(out, m->f1);
        fputc('\n', out);
    }
}

void data_learning(FILE *out, const struct history *history)
{
    fprintf(out, "model,parent,made_by,final,epoch,time,loss,accuracy,validation_loss,validation_accuracy\n");
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        for (int32_t k = 0; k < model->point_count; k++) {
            const struct history_point *point = &model->points[k];
            fprintf(out, "%lld,", (long long)model->id);
            if (model->parent >= 0)
                fprintf(out, "%lld", (long long)model->parent);
            fputc(',', out);
            csv_write(out, model->made_by);
            fprintf(out, ",%d,%lld", model->final, (long long)point->epoch);
            print_number(out, point->time);
            print_number(out, point->loss);
            print_number(out, point->accuracy);
            print_number(out, point->validation_loss);
            print_number(out, point->validation_accuracy);
            fputc('\n', out);
        }
    }
}

static void print_progress(FILE *out, const char *kind, int64_t model, double time, double accuracy)
{
    fprintf(out, "%s,%lld", kind, (long long)model);
    print_number(out, time);
    print_number(out, accuracy);
    fputc('\n', out);
}

void data_progress(FILE *out, const struct history *history)
{
    fprintf(out, "kind,model,time,accuracy\n");
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        if (model->finished && !model->baseline)
            print_progress(out, model->final ? "final fit" : "search", model->id, model->time,
                           model->validation_accuracy);
    }
    for (int32_t i = 0; i < history->test_count; i++) {
        const struct history_test *test = &history->tests[i];
        print_progress(out, "test", test->id, test->elapsed_seconds, test->accuracy);
        if (test->baseline.id >= 0)
            print_progress(out, "test without a search", test->baseline.id, test->elapsed_seconds,
                           test->baseline.accuracy);
    }
}
