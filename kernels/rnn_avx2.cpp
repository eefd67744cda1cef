// rnn.cpp compiled for AVX2.
#include "rnn.cpp"
