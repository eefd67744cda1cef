// Attention backward of bfloat16 through its dot product.
#include "attention_backward.cpp"
