"""Language models of Penn Treebank and WikiText-2 at the quality that two CPU cores can pay for."""
