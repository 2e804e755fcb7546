import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

WORDS = ["no", "yes", "left", "right", "stop", "go", "loosely", "committee", "up", "down"]
LETTERS = "-" + "".join(sorted(set("".join(WORDS))))


class Clips(Dataset):
    """Spoken words as feature frames; the speaking rate varies."""

    def __init__(self, n=240):
        g = torch.Generator().manual_seed(1)
        self.sound = torch.randn(len(LETTERS), 8, generator=g)
        self.clips = []
        for i in range(n):
            word = WORDS[int(torch.randint(0, len(WORDS), (1,), generator=g))]
            slow = 2 if i != 131 else 1
            ids = torch.tensor([LETTERS.index(c) for c in ("committee" if i == 131 else word)])
            frames = self.sound[ids.repeat_interleave(2 * slow)]
            self.clips.append((frames + 0.2 * torch.randn(frames.shape, generator=g), ids))

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, i):
        return self.clips[i]


def collate(items):
    frames, words = zip(*items)
    return (nn.utils.rnn.pad_sequence(frames, batch_first=True), torch.tensor([len(f) for f in frames]),
            torch.cat(words), torch.tensor([len(w) for w in words]))


class Recognizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(8, 32, 3, stride=2, padding=1)
        self.gru = nn.GRU(32, 32, batch_first=True, bidirectional=True)
        self.letters = nn.Linear(64, len(LETTERS))

    def forward(self, frames):
        h = self.conv(frames.transpose(1, 2)).relu().transpose(1, 2)
        return self.letters(self.gru(h)[0]).log_softmax(-1)


torch.manual_seed(0)
model, ctc = Recognizer(), nn.CTCLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
for epoch in range(2):
    for frames, length, words, sizes in DataLoader(Clips(), batch_size=8, collate_fn=collate):
        logp = model(frames).transpose(0, 1)
        loss = ctc(logp, words, (length + 1) // 2, sizes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "loss", loss.item())
