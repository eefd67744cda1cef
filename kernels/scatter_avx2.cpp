// Writing through indices compiled for AVX2.
#include "scatter.cpp"
