// What recurrent layers have in common: when they may run layer by layer, and how one follows
// another.
#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>

#include <vector>

#include "ops/op.h"

namespace trn::ops {

// Layers of LSTM or GRU as torch.nn describes them: hx is the hidden state or, with the cells',
// two; `gates` are those that a weight's rows are for; each direction of a layer has its own
// parameters.
struct Layers {
  const at::Tensor& input;
  at::TensorList hx, params;
  int64_t gates, num_layers;
  double dropout;
  bool has_biases, train, bidirectional, batch_first;

  // What may not run layer by layer, projections, wrapped and traced tensors and everything that is
  // an error, is left to PyTorch's composite of cells.
  bool possible() const;
  int64_t directions() const { return bidirectional ? 2 : 1; }
  int64_t per_layer() const { return has_biases ? 4 : 2; }
  const at::Tensor* weights(int64_t layer) const { return params.data() + layer * per_layer(); }

  // The output of the last layer, in the input's order of dimensions. one(x, k, reverse) is that of
  // layer k, directions counted, for x of [length, batch, features].
  template <class One>
  at::Tensor run(One one) const {
    at::Tensor x = batch_first ? input.transpose(0, 1) : input;
    for (int64_t layer = 0; layer < num_layers; ++layer) {
      std::vector<at::Tensor> out;
      for (int64_t direction = 0; direction < directions(); ++direction)
        out.push_back(one(x, layer * directions() + direction, direction == 1));
      x = bidirectional ? at::cat(out, -1) : out[0];
      if (dropout != 0 && train && layer < num_layers - 1) x = at::dropout(x, dropout, true);
    }
    return batch_first ? x.transpose(0, 1) : x;
  }
};

}  // namespace trn::ops
