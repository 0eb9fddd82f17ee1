"""Answers to the exercises of lesson 6, right and wrong, as readers may write them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from course_utils.embeddings import cut_patches, interpolate_positions
from course_utils.exercises import vision_transformer_solutions as solutions
from course_utils.rollout import rollout

SOLUTIONS = {
    "06.1": solutions.patches,
    "06.2": solutions.embed,
    "06.3": solutions.cost,
    "06.4": solutions.stretch,
    "06.5": solutions.rollout,
}


# ---- right, written in other ways


def patches_by_unfold(picture, patch_size):
    return F.unfold(picture[None], patch_size, stride=patch_size)[0].T


def patches_by_reshape(picture, p):
    c, y, x = picture.shape
    split = picture.reshape(c, y // p, p, x // p, p)
    return split.permute(1, 3, 0, 2, 4).reshape(-1, c * p * p)


def patches_by_number(picture, p):
    columns = picture.shape[2] // p
    found = []
    for k in range(columns * (picture.shape[1] // p)):
        top, left = divmod(k, columns)
        square = picture[..., top * p : top * p + p, left * p : left * p + p]
        found.append(torch.cat([channel.reshape(-1) for channel in square]))
    return torch.stack(found)


def patches_of_the_package(picture, p):
    return cut_patches(picture[None], p)[0]


def patches_by_split(picture, p):
    return torch.stack([s.flatten() for row in picture.split(p, 1) for s in row.split(p, 2)])


def embed_by_linear(pictures, weight, bias, class_token, positions):
    x = torch.stack([patches_by_unfold(one, weight.shape[-1]) for one in pictures])
    x = F.linear(x, weight.flatten(1), bias)
    token = class_token.repeat(pictures.shape[0], 1, 1)
    return torch.cat((token, x), 1) + positions.unsqueeze(0)


def embed_into_zeros(pictures, weight, bias, class_token, positions):
    p, (d, c, _, _) = weight.shape[-1], weight.shape
    out = torch.zeros(len(pictures), len(positions), d)
    out += positions
    out[:, 0] += class_token
    for b, picture in enumerate(pictures):
        out[b, 1:] += patches_by_number(picture, p) @ weight.reshape(d, c * p * p).T + bias
    return out


def embed_position_first(pictures, weight, bias, class_token, positions):
    p = weight.shape[-1]
    x = torch.einsum("byixjc,dcij->byxd", as_split(pictures, p), weight)
    x = x.flatten(1, 2) + bias + positions[1:]
    first = (class_token + positions[0]).expand(x.shape[0], 1, x.shape[2])
    return torch.hstack([first, x]).double()


def as_split(pictures, p):
    """B C Y X -> B Y/p p X/p p C."""
    b, c, y, x = pictures.shape
    return pictures.view(b, c, y // p, p, x // p, p).permute(0, 2, 3, 4, 5, 1)


def cost_in_floats(height, width, patch_size, d_model, num_heads):
    tokens = height / patch_size * (width / patch_size) + 1
    pairs = tokens**2
    return [tokens, num_heads * pairs, 2 * d_model * (2 * tokens * d_model + pairs)]


def cost_head_by_head(height, width, patch_size, d_model, num_heads):
    tokens = 1 + height * width // patch_size**2
    weights = products = 0
    for _ in range(num_heads):
        weights += tokens * tokens
        products += 2 * tokens * tokens * (d_model // num_heads)
        products += 4 * tokens * d_model * (d_model // num_heads)
    return tokens, weights, products


def cost_in_numpy(height, width, patch_size, d_model, num_heads):
    tokens = np.int64(1 + np.prod(np.array([height, width]) // patch_size))
    return tokens, num_heads * tokens**2, 4 * tokens * d_model**2 + 2 * tokens**2 * d_model


def stretch_of_the_package(positions, rows, columns):
    return interpolate_positions(positions, rows, columns)


def stretch_by_permute(positions, rows, columns):
    n, d = positions[1:].shape
    grid = positions[1:].reshape(1, math.isqrt(n), math.isqrt(n), d).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (rows, columns), mode="bicubic")
    return torch.vstack([positions[0], grid.permute(0, 2, 3, 1).reshape(rows * columns, d)])


def stretch_number_by_number(positions, rows, columns):
    side = int(math.sqrt(len(positions) - 1))
    new = torch.empty(1 + rows * columns, positions.shape[1])
    new[0] = positions[0]
    for d in range(positions.shape[1]):
        picture = positions[1:, d].reshape(1, 1, side, side)
        new[1:, d] = F.interpolate(picture, size=(rows, columns), mode="bicubic").flatten()
    return new


def rollout_of_the_package(attentions):
    shares = rollout(attentions[None])[0, 0, 1:]
    return shares.reshape(math.isqrt(len(shares)), -1)


def rollout_of_the_row(attentions):
    """From the last layer to the first: one vector is enough."""
    way = torch.zeros(attentions.shape[-1])
    way[0] = 1
    for layer in attentions.mean(1).flip(0):
        way = 0.5 * way + 0.5 * way @ layer
    side = round((len(way) - 1) ** 0.5)
    return way[1:].view(side, side)


def rollout_by_multi_dot(attentions):
    layers = attentions.sum(1) / attentions.shape[1]
    layers = layers + torch.eye(layers.shape[1])
    layers = layers / layers.sum(-1, keepdim=True)
    found = layers[0]
    for layer in layers[1:]:
        found = torch.matmul(layer, found)
    row = found[0][1:]
    return torch.stack(row.chunk(math.isqrt(len(row))))


RIGHT = [
    ("06.1", patches_by_unfold),
    ("06.1", patches_by_reshape),
    ("06.1", patches_by_number),
    ("06.1", patches_of_the_package),
    ("06.1", patches_by_split),
    ("06.2", embed_by_linear),
    ("06.2", embed_into_zeros),
    ("06.2", embed_position_first),
    ("06.3", cost_in_floats),
    ("06.3", cost_head_by_head),
    ("06.3", cost_in_numpy),
    ("06.4", stretch_of_the_package),
    ("06.4", stretch_by_permute),
    ("06.4", stretch_number_by_number),
    ("06.5", rollout_of_the_package),
    ("06.5", rollout_of_the_row),
    ("06.5", rollout_by_multi_dot),
]


# ---- wrong, written without looking at the known mistakes


def loops(ys=None, xs=None, square=None, flat=torch.flatten, swap=False, end=torch.stack):
    """Two loops over corners, with places to go wrong."""

    def my_patches(picture, p):
        tops = ys(picture, p) if ys else range(0, picture.shape[1], p)
        lefts = xs(picture, p) if xs else range(0, picture.shape[2], p)
        corners = [(y, x) for y in tops for x in lefts]
        if swap:
            corners = [(y, x) for x in lefts for y in tops]
        cut = square or (lambda pic, y, x, p: pic[:, y : y + p, x : x + p])
        return end([flat(cut(picture, y, x, p)) for y, x in corners])

    return my_patches


def patches_return_in_the_loop(picture, p):
    found = []
    for y in range(0, picture.shape[1], p):
        for x in range(0, picture.shape[2], p):
            found.append(picture[:, y : y + p, x : x + p].flatten())
            return torch.stack(found)


def patches_by_zip(picture, p):
    steps = range(0, picture.shape[1], p), range(0, picture.shape[2], p)
    corners = zip(*steps, strict=False)
    return torch.stack([picture[:, y : y + p, x : x + p].flatten() for y, x in corners])


def patches_without_permute(picture, p):
    c, y, x = picture.shape
    return picture.view(c, y // p, p, x // p, p).reshape(-1, c * p * p)


def patches_through_unfold_view(picture, p):
    return picture.unfold(1, p, p).unfold(2, p, p).reshape(-1, len(picture) * p * p)


def patches_in_place(picture, p):
    result = solutions.patches(picture, p)
    picture -= picture.mean()
    return result


def patches_wide_stripes(picture, p):
    return torch.stack([stripe.flatten() for stripe in picture.split(p, dim=1)])


def patches_by_count(picture, p):
    rows = picture.chunk(p, 1)
    return torch.stack([piece.flatten() for row in rows for piece in row.chunk(p, 2)])


def embedder(
    patch=patches_by_unfold,
    flat=lambda w: w.flatten(1),
    linear=lambda x, w, b: x @ w.T + b,
    first=lambda token, x: token.expand(x.shape[0], 1, -1),
    join=lambda first, x: torch.cat([first, x], 1),
    add=lambda x, positions: x + positions,
):
    """By cutting and a matrix, with places to go wrong."""

    def my_embed(pictures, weight, bias, class_token, positions):
        x = torch.stack([patch(picture, weight.shape[-1]) for picture in pictures])
        x = linear(x, flat(weight), bias)
        return add(join(first(class_token, x), x), positions)

    return my_embed


def by_convolution(rows, stride=None, bias=True):
    def my_embed(pictures, weight, b, class_token, positions):
        step = stride or weight.shape[-1]
        x = rows(F.conv2d(pictures, weight, b if bias else None, stride=step))
        return torch.cat([class_token.expand(len(x), 1, -1), x], 1) + positions

    return my_embed


def embed_token_of_one(pictures, weight, bias, class_token, positions):
    x = F.conv2d(pictures, weight, bias, stride=weight.shape[-1]).flatten(2).mT
    return torch.cat([class_token, x], 1) + positions


def embed_patches_then_positions_then_token(pictures, weight, bias, class_token, positions):
    x = F.conv2d(pictures, weight, bias, stride=weight.shape[-1]).flatten(2).mT
    return torch.cat([class_token.expand(len(x), 1, -1), x + positions[1:]], 1)


def embed_token_and_wrong_end(pictures, weight, bias, class_token, positions):
    x = F.conv2d(pictures, weight, bias, stride=weight.shape[-1]).flatten(2).mT
    return torch.cat([class_token.expand(len(x), 1, -1), x + positions[:-1]], 1)


def embed_in_place(pictures, weight, bias, class_token, positions):
    x = F.conv2d(pictures, weight, bias, stride=weight.shape[-1]).flatten(2).mT
    return positions.add_(0.5).sub(0.5) + torch.cat([class_token.expand(len(x), 1, -1), x], 1)


def pixel_by_pixel(picture, p):
    return loops(flat=lambda square: square.permute(1, 2, 0).flatten())(picture, p)


def column_by_column(picture, p):
    return loops(flat=lambda square: square.transpose(1, 2).flatten())(picture, p)


def counter(
    n=lambda y, x, p: (y // p) * (x // p) + 1,
    w=lambda t, d, h: t**2 * h,
    m=lambda t, d, h: 4 * t * d**2 + 2 * t**2 * d,
):
    def my_cost(height, width, patch_size, d_model, num_heads):
        t = n(height, width, patch_size)
        return t, w(t, d_model, num_heads), m(t, d_model, num_heads)

    return my_cost


def stretcher(
    cut=lambda x: (x[:1], x[1:]),
    grid=lambda x, s: x.permute(1, 0).reshape(1, -1, s, s),
    resize=lambda g, y, x: F.interpolate(g, (y, x), mode="bicubic", align_corners=False),
    table=lambda g: g.squeeze(0).flatten(1).transpose(0, 1),
    join=lambda token, rest: torch.cat([token, rest], dim=0),
):
    """Along the axes, with places to go wrong."""

    def my_stretch(positions, rows, columns):
        token, rest = cut(positions)
        s = round(math.sqrt(len(rest)))
        return join(token, table(resize(grid(rest, s), rows, columns)))

    return my_stretch


def resized(**options):
    return lambda g, y, x: F.interpolate(g, size=(y, x), **options)


def stretch_first_rows(positions, rows, columns):
    return positions[: 1 + rows * columns]


def stretch_everything(positions, rows, columns):
    grid = positions.T[None]
    return F.interpolate(grid, size=1 + rows * columns, mode="linear")[0].T


def stretch_in_one_dimension(positions, rows, columns):
    new = F.interpolate(positions[1:].T[None], size=rows * columns, mode="linear")
    return torch.cat([positions[:1], new[0].T])


def stretch_in_place(positions, rows, columns):
    result = solutions.stretch(positions, rows, columns)
    positions[1:] = 0
    return result


def stretch_without_batch(positions, rows, columns):
    side = int((len(positions) - 1) ** 0.5)
    grid = positions[1:].T.reshape(-1, side, side)
    return F.interpolate(grid, size=(rows, columns), mode="bicubic")


def stretch_with_the_token(positions, rows, columns):
    side = int(len(positions) ** 0.5)
    return positions.T.reshape(1, -1, side, side)


def roller(
    merge=lambda a: a.mean(dim=1),
    residual=lambda x, eye: 0.5 * x + 0.5 * eye,
    step=lambda found, layer: layer.matmul(found),
    layers=lambda x: x,
    pick=lambda found: found[0, 1:],
    end=lambda row: row.reshape(round(len(row) ** 0.5), -1),
):
    """Layer after layer, with places to go wrong."""

    def my_rollout(attentions):
        averaged = merge(attentions)
        eye = torch.eye(attentions.shape[-1])
        found = eye
        for layer in layers(averaged):
            found = step(found, residual(layer, eye))
        return end(pick(found))

    return my_rollout


def rollout_mean_of_layers(attentions):
    a = (attentions.mean((0, 1)) + torch.eye(attentions.shape[-1])) / 2
    return a[0, 1:].reshape(round((len(a) - 1) ** 0.5), -1)


def rollout_of_heads_apart(attentions):
    eye, heads = torch.eye(attentions.shape[-1]), []
    for head in attentions.unbind(1):
        found = eye
        for layer in head:
            found = (layer + eye) @ found / 2
        heads.append(found[0, 1:])
    row = torch.stack(heads).mean(0)
    return row.reshape(round(len(row) ** 0.5), -1)


def rollout_of_all_tokens(attentions):
    return torch.stack([(a.mean(0) + torch.eye(a.shape[-1])) / 2 for a in attentions])


def rollout_with_ones(attentions):
    found = torch.eye(attentions.shape[-1])
    for layer in attentions.mean(1):
        layer = layer + 1
        found = layer / layer.sum(-1, keepdim=True) @ found
    return found[0, 1:].reshape(round((len(found) - 1) ** 0.5), -1)


right_patches, right_embed = solutions.patches, solutions.embed
right_cost, right_stretch, right_rollout = solutions.cost, solutions.stretch, solutions.rollout

WRONG = [
    ("06.1", lambda x, p: x.reshape(-1, len(x) * p * p), "this is a reshape of the whole picture"),
    ("06.1", patches_without_permute, "this is a reshape of the whole picture"),
    ("06.1", patches_through_unfold_view, "the channels' axis stands in front of them"),
    (
        "06.1",
        loops(
            lambda x, p: range(x.shape[1] - p + 1),
            lambda x, p: range(x.shape[2] - p + 1),
        ),
        "the patches overlap",
    ),
    ("06.1", patches_by_count, "patch_size is not the number of patches along a side"),
    (
        "06.1",
        loops(
            lambda x, p: range(p),
            lambda x, p: range(p),
            square=lambda x, i, j, p: x[:, i::p, j::p],
        ),
        "a patch of yours is made of pixels from all over",
    ),
    ("06.1", patches_wide_stripes, "stripes as wide as the picture"),
    (
        "06.1",
        lambda x, p: torch.stack([stripe.flatten() for stripe in x.split(p, 2)]),
        "stripes as high as the picture",
    ),
    ("06.1", loops(swap=True), "the patches go down the columns of the picture"),
    ("06.1", patches_by_zip, "only the patches on the diagonal"),
    ("06.1", patches_return_in_the_loop, "only one patch came back"),
    (
        "06.1",
        loops(
            lambda x, p: range(0, x.shape[1] - p, p),
            lambda x, p: range(0, x.shape[2] - p, p),
            end=lambda found: torch.stack(found) if found else torch.zeros(0, 48),
        ),
        "the last patches of each row and column are missing",
    ),
    (
        "06.1",
        lambda x, p: x.unfold(1, p, p).unfold(2, p, p).permute(1, 2, 0, 3, 4).flatten(2),
        "the patches still lie in rows and columns",
    ),
    ("06.1", lambda x, p: right_patches(x.mT, p), "height and width have changed places"),
    ("06.1", loops(flat=lambda s: s[0].flatten()), "only the first channel is there"),
    ("06.1", loops(flat=lambda s: s.mean(0).flatten()), "the channels are averaged"),
    ("06.1", loops(flat=lambda s: s[[*range(len(s))][::-1]].flatten()), "in the opposite order"),
    (
        "06.1",
        loops(lambda x, p: range(x.shape[1] - p, -1, -p)),
        "your first patch is at the bottom",
    ),
    ("06.1", pixel_by_pixel, "inside a patch you go pixel by pixel"),
    ("06.1", column_by_column, "inside a patch you go column by column"),
    ("06.1", loops(flat=lambda s: s.flatten(1), end=torch.cat), "each channel is a patch of its"),
    ("06.1", loops(flat=lambda s: s), "the patches are squares still"),
    ("06.1", loops(flat=lambda s: s.flatten(1).mean(1)), "each patch has become its mean"),
    ("06.1", lambda x, p: F.unfold(x[None], p, stride=p)[0], "your axes are P N"),
    (
        "06.1",
        lambda x, p: F.unfold(x[None], p, stride=p).transpose(1, 2),
        "there is one axis too many in front",
    ),
    ("06.1", loops(end=torch.cat), "all patches are in one long row"),
    ("06.1", loops(flat=lambda s: s.flatten() / 255), "the numbers are divided by 255"),
    ("06.1", loops(end=list), "patches is a list, expected a tensor"),
    (
        "06.1",
        loops(swap=True, flat=lambda s: s.mean(0).flatten()),
        "two things at once. First: the patches go down the columns",
    ),
    ("06.1", lambda x, p: x.reshape(4, 7), "a reshape keeps the number of numbers"),
    ("06.1", loops(square=lambda x, i, j, p: x[:, i : i + p, j:]), "of one shape: does each of"),
    ("06.1", patches_in_place, "changes its input picture in place"),
    ("06.1", lambda x, p: right_patches(x, p) + 1, "4 of 4 patches are wrong"),
    ("06.1", lambda x, p: right_patches(x, p)[:, :-1], "(4, 7), expected (4, 8), N P"),
    ("06.2", embedder(linear=lambda x, w, b: x @ w.T), "the bias is forgotten"),
    ("06.2", by_convolution(lambda x: x.flatten(2).mT, bias=False), "the bias is forgotten"),
    ("06.2", embedder(linear=lambda x, w, b: F.linear(x, w, b) + b), "the bias is added twice"),
    (
        "06.2",
        embedder(join=lambda first, x: x, add=lambda x, pos: x + pos[: x.shape[1]]),
        "the class token is missing",
    ),
    (
        "06.2",
        embedder(join=lambda first, x: x, add=lambda x, pos: x + pos[1:]),
        "the class token is missing",
    ),
    (
        "06.2",
        embedder(join=lambda first, x: torch.cat([x, first], 1)),
        "the class token stands behind the patches",
    ),
    (
        "06.2",
        embedder(first=lambda token, x: x.new_zeros(len(x), 1, x.shape[2])),
        "the class token is a row of zeros",
    ),
    (
        "06.2",
        embedder(first=lambda token, x: x.mean(dim=1)[:, None]),
        "your first token is the mean of the patches",
    ),
    (
        "06.2",
        embedder(join=lambda first, x: first + x, add=lambda x, pos: x + pos[1:]),
        "the class token is added to each patch",
    ),
    ("06.2", embedder(add=lambda x, pos: x), "the positions are forgotten"),
    ("06.2", embed_patches_then_positions_then_token, "the class token has no position"),
    ("06.2", embed_token_and_wrong_end, "gets the position of the one before it"),
    ("06.2", embedder(add=lambda x, pos: x + pos[:1]), "all tokens get the same position"),
    ("06.2", embedder(add=lambda x, pos: x * pos[None]), "the positions are multiplied"),
    ("06.2", embedder(add=lambda x, pos: x + pos + pos), "the positions are added twice"),
    ("06.2", embedder(add=lambda x, pos: x - pos), "the positions are subtracted"),
    (
        "06.2",
        embedder(add=lambda x, pos: torch.cat([x, pos[None].repeat(len(x), 1, 1)], 2)),
        "the positions stand beside the vectors",
    ),
    (
        "06.2",
        by_convolution(lambda x: x.permute(0, 3, 2, 1).flatten(1, 2)),
        "the patches go down the columns",
    ),
    (
        "06.2",
        by_convolution(lambda x: x.reshape(len(x), -1, x.shape[1])),
        "a reshape from B D N to B N D mixes",
    ),
    ("06.2", by_convolution(lambda x: x.flatten(2)), "D and N have changed places"),
    (
        "06.2",
        lambda x, *rest: right_embed(x.transpose(2, 3), *rest),
        "height and width have changed places",
    ),
    ("06.2", embedder(patch=column_by_column), "rows and columns of each patch have changed"),
    (
        "06.2",
        lambda x, w, *rest: right_embed(x, w.flip([2, 3]), *rest),
        "your weights are turned round",
    ),
    ("06.2", embedder(patch=pixel_by_pixel), "your patches go pixel by pixel"),
    (
        "06.2",
        embedder(linear=lambda x, w, b: (x.unsqueeze(2) * w).mean(-1) + b),
        "you take the mean over a patch",
    ),
    (
        "06.2",
        embedder(linear=lambda x, w, b: (x @ w.T + b) * len(b) ** 0.5),
        "multiplied with the square root of D",
    ),
    (
        "06.2",
        embedder(linear=lambda x, w, b: (x @ w.T + b).relu()),
        "something bends the patches' vectors",
    ),
    (
        "06.2",
        embedder(linear=lambda x, w, b: F.layer_norm(x @ w.T + b, b.shape)),
        "the patches' vectors are normed",
    ),
    (
        "06.2",
        embedder(linear=lambda x, w, b: (x @ w.T).relu() + b, add=lambda x, pos: x),
        "wrong vectors: the class token, patch 1, patch 2, patch 3 and others",
    ),
    (
        "06.2",
        embedder(linear=lambda x, w, b: x @ w.T, add=lambda x, pos: x),
        "two things at once. First: the bias is forgotten",
    ),
    (
        "06.2",
        by_convolution(lambda x: x.flatten(2).mT, stride=1),
        "does the stride of your convolution equal p",
    ),
    ("06.2", embed_token_of_one, "Do you know expand?"),
    (
        "06.2",
        lambda x, w, b, c, pos: x.flatten(1) @ w.flatten(1).T,
        "which shape has weight.flatten(1)?",
    ),
    ("06.2", embed_in_place, "changes its input positions in place"),
    ("06.2", lambda *given: right_embed(*given)[0], "the shape (5, 4), expected (2, 5, 4), B T D"),
    ("06.2", lambda *given: right_embed(*given) + 1, "wrong vectors: the class token, patch 1"),
    ("06.2", lambda *given: right_embed(*given) * math.nan, "your result holds NaN"),
    ("06.3", counter(n=lambda y, x, p: y // p * (x // p)), "the class token is not counted"),
    ("06.3", counter(n=lambda y, x, p: (1 + y // p) * (1 + x // p)), "one class token is enough"),
    ("06.3", counter(n=lambda y, x, p: x * y), "your tokens are the pixels"),
    ("06.3", counter(n=lambda y, x, p: y * x / p + 1), "you divide the pixels by patch_size"),
    ("06.3", counter(n=lambda y, x, p: 1 + p**2), "you count the pixels of one patch"),
    ("06.3", counter(n=lambda y, x, p: y / p + x / p), "you add the patches along the two sides"),
    ("06.3", counter(n=lambda y, x, p: (y // p) ** 2 + 1), "you take the picture for a square"),
    ("06.3", counter(n=lambda y, x, p: 2 + y // p * (x // p)), "two special tokens"),
    ("06.3", counter(w=lambda t, d, h: t * t), "your weights are those of one head"),
    ("06.3", counter(w=lambda t, d, h: h * t), "each token looks at every token"),
    ("06.3", counter(w=lambda t, d, h: h * sum(range(1, t + 1))), "look to the left only"),
    ("06.3", counter(w=lambda t, d, h: h * (t * t - t)), "nobody looks at itself"),
    ("06.3", counter(w=lambda t, d, h: h * t * t * 4), "your weights are bytes"),
    ("06.3", counter(w=lambda t, d, h: d * t * t), "D is in your number of attention weights"),
    ("06.3", counter(w=lambda t, d, h: 4 * d**2), "these are learned weights"),
    ("06.3", counter(m=lambda t, d, h: 2 * t * t * d), "the linear layers are missing"),
    ("06.3", counter(m=lambda t, d, h: 3 * t * d * d + 2 * t * t * d), "three linear layers"),
    ("06.3", counter(m=lambda t, d, h: t * d * d + 2 * t * t * d), "one linear layer in yours"),
    ("06.3", counter(m=lambda t, d, h: 4 * d * d + 2 * t * t * d), "your linear layers run once"),
    ("06.3", counter(m=lambda t, d, h: 4 * t * d + 2 * t * t * d), "D times D weights, each used"),
    ("06.3", counter(m=lambda t, d, h: 4 * t * d * d + t * t * d), "weighted sums are missing"),
    ("06.3", counter(m=lambda t, d, h: 4 * t * d * d), "only the linear layers are there"),
    ("06.3", counter(m=lambda t, d, h: 4 * t * d * d + 2 * h * t * t * d), "the number of heads"),
    (
        "06.3",
        counter(m=lambda t, d, h: 4 * t * d * d + 2 * t * t * (d // h)),
        "you count the scores and sums of one head",
    ),
    (
        "06.3",
        counter(m=lambda t, d, h: 4 * t * d * d + 2 * h * t * t),
        "a score costs one multiplication in yours",
    ),
    (
        "06.3",
        counter(m=lambda t, d, h: 12 * t * d * d + 2 * t * t * d),
        "the feed-forward network is in your sum",
    ),
    (
        "06.3",
        counter(m=lambda t, d, h: 8 * t * d * d + 4 * t * t * d),
        "you count additions, too",
    ),
    (
        "06.3",
        lambda *given: [right_cost(*given)[k] for k in (1, 0, 2)],
        "tokens and weights have changed places",
    ),
    (
        "06.3",
        lambda *given: [right_cost(*given)[k] for k in (0, 2, 1)],
        "weights and multiplications have changed places",
    ),
    (
        "06.3",
        counter(n=lambda y, x, p: y // p * (x // p), w=lambda t, d, h: t * t),
        "two things at once. First: the class token is not counted",
    ),
    ("06.3", lambda *given: right_cost(*given)[0], "came back, expected three numbers"),
    ("06.3", lambda *given: torch.tensor(right_cost(*given)), "came back, expected three numbers"),
    ("06.3", counter(n=lambda y, x, p: torch.tensor(5)), "tokens is a tensor"),
    ("06.3", counter(w=lambda t, d, h: f"{t}"), "weights is '5', a str"),
    ("06.3", counter(m=lambda t, d, h: t / 2), "multiplications is 2.5: can there be a part"),
    ("06.3", counter(m=lambda t, d, h: math.inf), "multiplications is inf: what do you divide?"),
    ("06.3", counter(n=lambda y, x, p: 3), "tokens: 2 rows of 2 patches, and what else?"),
    ("06.3", counter(w=lambda t, d, h: 3), "weights: 5 tokens look at 5 tokens, in 3 heads"),
    ("06.3", counter(m=lambda t, d, h: 3), "5 tokens through a layer of 6 x 6 are 180"),
    ("06.4", stretch_first_rows, "you take the first positions of the table"),
    (
        "06.4",
        stretcher(resize=lambda g, y, x: g[:, :, :y, :x]),
        "you cut out a corner of the old picture",
    ),
    ("06.4", stretch_in_one_dimension, "the positions are stretched along one row"),
    ("06.4", lambda x, rows, columns: x, "nothing is stretched"),
    ("06.4", stretcher(resize=resized(mode="bilinear")), "your interpolation is bilinear"),
    ("06.4", stretcher(resize=resized()), "you take the nearest old position"),
    (
        "06.4",
        stretcher(resize=lambda g, y, x: F.adaptive_avg_pool2d(g, (y, x))),
        "your interpolation takes means over areas",
    ),
    (
        "06.4",
        stretcher(resize=resized(mode="bicubic", align_corners=True)),
        "the corners are laid on each other",
    ),
    (
        "06.4",
        stretcher(resize=resized(mode="bicubic", antialias=True)),
        "antialias smooths what becomes smaller",
    ),
    (
        "06.4",
        stretcher(grid=lambda x, s: x.view(1, -1, s, s)),
        "a reshape from N D to D S S mixes",
    ),
    (
        "06.4",
        stretcher(grid=lambda x, s: x.reshape(1, s, s, -1).permute(0, 3, 2, 1)),
        "the old grid lies on its side",
    ),
    (
        "06.4",
        stretcher(table=lambda g: g[0].permute(2, 1, 0).flatten(0, 1)),
        "the new positions go down the columns",
    ),
    (
        "06.4",
        stretcher(table=lambda g: g.reshape(-1, g.shape[1])),
        "a reshape from D rows columns to N D mixes",
    ),
    (
        "06.4",
        stretcher(resize=lambda g, y, x: F.interpolate(g, (x, y), mode="bicubic")),
        "rows and columns have changed places",
    ),
    (
        "06.4",
        stretcher(resize=lambda g, y, x: F.interpolate(g, y, mode="bicubic")),
        "the new grid is a square of yours",
    ),
    ("06.4", lambda *given: right_stretch(*given)[1:], "the class token's position is missing"),
    (
        "06.4",
        stretcher(join=lambda token, rest: torch.cat([rest, token])),
        "the class token's position stands at the end",
    ),
    (
        "06.4",
        stretcher(join=lambda token, rest: F.pad(rest, (0, 0, 1, 0))),
        "the class token has lost its position",
    ),
    (
        "06.4",
        stretcher(cut=lambda x: (x[-1:], x[:-1])),
        "the class token's position lies in the grid",
    ),
    ("06.4", stretcher(cut=lambda x: (x[-1:], x[1:])), "the last row of the table comes in front"),
    (
        "06.4",
        stretcher(table=lambda g: g[0].flatten(1), join=lambda token, rest: rest),
        "D and N have changed places at the end",
    ),
    (
        "06.4",
        stretcher(table=lambda g: g[0], join=lambda token, rest: rest),
        "the result is still a grid",
    ),
    (
        "06.4",
        stretcher(
            resize=resized(mode="bilinear"), join=lambda token, rest: torch.cat([rest, token])
        ),
        "two things at once. First: your interpolation is bilinear",
    ),
    ("06.4", stretch_everything, "the class token's row is wrong"),
    ("06.4", stretch_without_batch, "do you know x[None]?"),
    ("06.4", stretch_with_the_token, "N patches are S times S, without the class token"),
    (
        "06.4",
        stretcher(join=lambda token, rest: torch.cat([token[0], rest])),
        "torch.cat wants 1 D and N D",
    ),
    ("06.4", stretch_in_place, "changes its input positions in place"),
    (
        "06.4",
        lambda x, y, z: torch.cat([x[:1], right_stretch(x, y, z)[1:] * 2]),
        "from 4 x 4 patches to 3 x 3 9 of 10 rows are wrong; the first is that of the patch in row "
        "0, column 0",
    ),
    ("06.4", lambda *given: right_stretch(*given)[:4], "the shape (4, 4), expected (10, 4), T D"),
    ("06.4", lambda *given: right_stretch(*given) * math.nan, "your result holds NaN"),
    ("06.5", roller(residual=lambda x, eye: x), "nothing stays where it is"),
    ("06.5", roller(residual=lambda x, eye: x + eye), "your rows sum to 2"),
    ("06.5", roller(residual=lambda x, eye: x / 2 + eye), "you halve the attention, but add the"),
    ("06.5", roller(residual=lambda x, eye: x + eye / 2), "you halve the token, but add the whole"),
    ("06.5", rollout_with_ones, "you add 1 to every weight"),
    (
        "06.5",
        roller(residual=lambda x, eye: x, end=lambda row: row.view(round(len(row) ** 0.5), -1) / 2),
        "the token itself is added once, after all layers",
    ),
    ("06.5", roller(step=lambda found, layer: found @ layer), "multiplied in the wrong order"),
    ("06.5", roller(layers=lambda x: x.flip(0)), "multiplied in the wrong order"),
    ("06.5", roller(layers=lambda x: x[-1:]), "only the last layer is there"),
    ("06.5", roller(layers=lambda x: x[:1]), "only the first layer is there"),
    ("06.5", roller(layers=lambda x: x[1:]), "the first layer is left out"),
    ("06.5", roller(layers=lambda x: x[:-1]), "the last layer is left out"),
    ("06.5", roller(layers=lambda x: torch.cat([x[:1], x])), "the first layer is there twice"),
    ("06.5", rollout_mean_of_layers, "this is the mean of the layers"),
    ("06.5", roller(merge=lambda a: a.max(1).values), "you take the largest of the heads"),
    ("06.5", roller(merge=lambda a: a.min(1).values), "you take the smallest of the heads"),
    ("06.5", roller(merge=lambda a: a.sum(1)), "you take the sum of the heads"),
    ("06.5", roller(merge=lambda a: a[:, 0]), "only one head is there"),
    ("06.5", rollout_of_heads_apart, "each head is followed for itself"),
    ("06.5", roller(pick=lambda found: found[1:, 0]), "you take column 0"),
    ("06.5", roller(pick=lambda found: found.mean(0)[1:]), "your map is the mean over all tokens"),
    ("06.5", roller(pick=lambda found: found[-1, 1:]), "your map is that of another token"),
    ("06.5", roller(pick=lambda found: found[0, :-1]), "holds the class token's own share"),
    (
        "06.5",
        roller(end=lambda row: (row / row.sum()).view(round(len(row) ** 0.5), -1)),
        "your shares are made to sum to 1",
    ),
    (
        "06.5",
        roller(end=lambda row: (row / row.max()).view(round(len(row) ** 0.5), -1)),
        "your shares are divided by the largest",
    ),
    ("06.5", lambda a: 100 * right_rollout(a), "your shares are in percent"),
    ("06.5", lambda a: right_rollout(a).T, "your map lies on its side"),
    ("06.5", lambda a: right_rollout(a).flip(0), "your map is upside down"),
    ("06.5", roller(end=lambda row: row), "your map is a row of N numbers"),
    (
        "06.5",
        roller(merge=lambda a: a[:, 0], pick=lambda found: found[1:, 0]),
        "two things at once. First: only one head is there",
    ),
    ("06.5", roller(pick=lambda found: found[0]), "invalid for input of size 5"),
    ("06.5", roller(merge=lambda a: a, pick=lambda f: f[0, 0]), "invalid for input of size 5"),
    ("06.5", rollout_of_all_tokens, "your map has the shape (2, 5, 5), expected (2, 2), S S"),
    ("06.5", lambda a: right_rollout(a) + 0.1, "Do the rows of each layer's matrix sum to 1"),
    ("06.5", lambda a: right_rollout(a).log().sqrt(), "your map holds NaN"),
    ("06.5", lambda a: right_rollout(a) + 0 * a.zero_().sum(), "changes its input attentions in"),
]
