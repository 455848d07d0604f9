"""What tests of several rooms use: tiny data sets, configs, whole runs, folds."""
