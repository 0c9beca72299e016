# %% [markdown]
# # 00 · Start here

# %%
import polaris_lab as lab

# %% quick={"size": 16} tags=["parameters"]
size = 32
