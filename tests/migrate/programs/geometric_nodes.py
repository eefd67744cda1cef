"""torch_geometric without its compiled parts: GCN, GAT and SAGE on a made-up graph."""

import torch
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SAGEConv, global_mean_pool

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(16, 32), GATConv(32, 8, heads=2)
        self.third = SAGEConv(16, 4)

    def forward(self, data):
        x = self.first(data.x, data.edge_index).relu()
        x = self.second(x, data.edge_index).relu()
        return self.third(x, data.edge_index)


def main():
    torch.manual_seed(0)
    data = Data(x=torch.randn(60, 16), edge_index=torch.randint(0, 60, (2, 240)),
                y=torch.randint(0, 4, (60,))).to(device)
    model = Net().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(6):
        loss = torch.nn.functional.cross_entropy(model(data), data.y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"loss {loss.item():.5f}")
    groups = torch.arange(60, device=device) // 20
    print(f"pooled {global_mean_pool(model(data), groups).sum().item():.4f}")


if __name__ == "__main__":
    main()
