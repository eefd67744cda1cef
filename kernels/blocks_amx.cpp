// Conversions and the walk over blocks compiled for AMX.
#include "blocks.cpp"
