// Writing through indices compiled for AVX-512.
#include "scatter.cpp"
