// What nn.TransformerEncoder does with padded batches in inference: nested tensors of rows that
// differ in length, computed padded.
#include <ATen/NestedTensorImpl.h>
#include <ATen/native/nested/NestedTensorUtils.h>
#include <ATen/ops/_nested_from_padded.h>
#include <ATen/ops/_transformer_encoder_layer_fwd.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <torch/library.h>

#include "ops/op.h"

namespace trn::ops {
namespace {

using at::native::NestedTensorImpl;

// Member i, of the sizes in row i of `sizes`, within one entry of a padded batch.
at::Tensor member_of(at::Tensor entry, const at::Tensor& sizes, int64_t i) {
  const int64_t* size = sizes.const_data_ptr<int64_t>() + i * sizes.size(1);
  for (int64_t d = 0; d < sizes.size(1); ++d) entry = entry.narrow(d, 0, size[d]);
  return entry;
}

// self of members [..] -> [members, longest..], or output_size, with `padding` beside them.
at::Tensor to_padded_tensor(const at::Tensor& self, double padding,
                            at::OptionalIntArrayRef output_size) {
  const NestedTensorImpl& nested = *at::native::get_nested_tensor_impl(self);
  const at::Tensor& sizes = nested.get_nested_sizes();
  TORCH_CHECK(sizes.dim() == 2, "at least one constituent tensor should have non-zero numel");
  std::vector<int64_t> shape = at::native::NestedTensor_get_max_size(nested);
  shape.insert(shape.begin(), sizes.size(0));
  if (output_size) {
    TORCH_CHECK(output_size->size() == shape.size(),
                "Length of output_size does not match NestedTensor dims. Broadcasting is not "
                "supported.");
    for (size_t d = 0; d < shape.size(); ++d)
      TORCH_CHECK((*output_size)[d] >= shape[d],
                  "Value in output_size is less than NestedTensor padded size. Truncation is not "
                  "supported.");
    shape = output_size->vec();
  }
  const at::Tensor buffer = nested.get_buffer(), strides = nested.get_nested_strides(),
                   out = at::full(shape, padding, buffer.options());
  const int64_t* offsets = nested.get_storage_offsets().const_data_ptr<int64_t>();
  const int64_t dims = sizes.size(1);
  for (int64_t i = 0; i < sizes.size(0); ++i) {
    const at::IntArrayRef size(sizes.const_data_ptr<int64_t>() + i * dims, dims);
    const at::IntArrayRef stride(strides.const_data_ptr<int64_t>() + i * dims, dims);
    member_of(out[i], sizes, i).copy_(buffer.as_strided(size, stride, offsets[i]));
  }
  return out;
}

// Where [members, longest] is padding, on a device.
at::Tensor padding_of(const at::Tensor& sizes, int64_t longest, c10::Device device) {
  at::Tensor mask = at::full({sizes.size(0), longest}, true, at::kBool);
  for (int64_t i = 0; i < sizes.size(0); ++i)
    mask[i].narrow(0, 0, sizes.const_data_ptr<int64_t>()[i * sizes.size(1)]).fill_(false);
  return mask.to(device);
}

at::Tensor transformer_encoder_layer_fwd(
    const at::Tensor& src, int64_t embed_dim, int64_t num_heads, const at::Tensor& qkv_weight,
    const at::Tensor& qkv_bias, const at::Tensor& proj_weight, const at::Tensor& proj_bias,
    bool use_gelu, bool norm_first, double eps, const at::Tensor& norm_weight_1,
    const at::Tensor& norm_bias_1, const at::Tensor& norm_weight_2, const at::Tensor& norm_bias_2,
    const at::Tensor& ffn_weight_1, const at::Tensor& ffn_bias_1, const at::Tensor& ffn_weight_2,
    const at::Tensor& ffn_bias_2, const std::optional<at::Tensor>& mask,
    std::optional<int64_t> mask_type) {
  TORCH_CHECK(!mask || !mask->defined(),
              "TransformerEncoderLayer with a mask is not supported for nested tensors");
  const at::Tensor& sizes = at::native::get_nested_tensor_impl(src)->get_nested_sizes();
  const at::Tensor padded = to_padded_tensor(src, 0, std::nullopt);
  const at::Tensor out = at::_transformer_encoder_layer_fwd(
      padded, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, use_gelu,
      norm_first, eps, norm_weight_1, norm_bias_1, norm_weight_2, norm_bias_2, ffn_weight_1,
      ffn_bias_1, ffn_weight_2, ffn_bias_2, padding_of(sizes, padded.size(1), padded.device()), 1);
  return at::_nested_from_padded(out, sizes);
}

TORCH_LIBRARY_IMPL(aten, NestedTensorPrivateUse1, m) {
  m.impl("to_padded_tensor", &to_padded_tensor);
  m.impl("_transformer_encoder_layer_fwd", &transformer_encoder_layer_fwd);
}

}  // namespace

// padded [members, longest..], sizes [members, dims] on the host -> the members, one after another.
// With `heads_first`, padded is [members, heads, longest, head] of members [length, heads * head].
at::Tensor TRN_OP_ACROSS(_nested_from_padded)(const at::Tensor& padded, const at::Tensor& sizes,
                                              bool heads_first) {
  TORCH_CHECK(sizes.is_cpu() && sizes.dim() == 2 && sizes.size(0) == padded.size(0),
              "_nested_from_padded needs the sizes of each member on the CPU");
  const at::Tensor entries = heads_first ? padded.transpose(1, 2).flatten(2) : padded;
  std::vector<at::Tensor> members;
  for (int64_t i = 0; i < sizes.size(0); ++i)
    members.push_back(member_of(entries[i], sizes, i).reshape(-1));
  return at::native::wrap_buffer(at::cat(members), sizes);
}

}  // namespace trn::ops
