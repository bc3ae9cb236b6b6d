"""The programs other than training and evaluation."""
