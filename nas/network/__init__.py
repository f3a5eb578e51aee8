"""Networks: `build` turns an architecture into an `nn.Module`; the only readers of layers that need torch."""
