// What the families of sparse operators share: places of elements, and writing into outputs.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace trn::ops {

// A number for every place of the sparse dimensions that has an element, growing in their order.
at::Tensor places_of(const at::Tensor& sparse);
// The values of coalesced self at some places, zero where it has no element.
at::Tensor values_at(const at::Tensor& self, const at::Tensor& places);
// Gives a sparse output the shape, the elements and the type of a result, as the fallback does.
at::Tensor write_back(const at::Tensor& self, const at::Tensor& dst);

// Ranges that begin somewhere and count so many -> for each place of all of them, one after the
// other: which range it is of, and the place. Waits for their number.
std::pair<at::Tensor, at::Tensor> spread(const at::Tensor& begin, const at::Tensor& count);
// The elements that coalesced a and b have in common, multiplied.
at::Tensor intersection(const at::Tensor& a, const at::Tensor& b, at::ScalarType type);
// Sparse COO matrices' product, coalesced.
at::Tensor sparse_matmul(const at::Tensor& a, const at::Tensor& b);

}  // namespace trn::ops
