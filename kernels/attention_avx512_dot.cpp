// Attention forward of bfloat16 through its dot product.
#include "attention.cpp"
