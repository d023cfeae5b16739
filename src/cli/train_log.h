/* Training from a collection's log: started, watched, cancelled, told. */
#ifndef CLI_TRAIN_LOG_H
#define CLI_TRAIN_LOG_H

#include "cli/arguments.h"

/* Options that mean something for a log; train's others are for files. Ends with NULL. */
extern const char *const train_log_options[];

/* Runs to its end and prints the report. Interrupted once (Ctrl-C), it cancels the training. */
int train_from_log(const cli_arguments *a);

#endif
