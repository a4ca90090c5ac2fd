using Marmot.Client.Convergence;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Tests.Adopted;

/// <summary>
/// The rules at the level of a file's labels, as obviously as possible: it knows which commit leads from which state to which, and nothing of MLS, keys or
/// stores. What a receiver of our engine must do
/// is said by it for any order of delivery.
/// </summary>
internal sealed class SlowModel
{
    private readonly RecordedLife _life;
    private readonly BranchTree _tree;
    private readonly HashSet<int> _given = [];
    private readonly HashSet<int> _opened = [];
    private readonly HashSet<int> _shown = [];
    private readonly Dictionary<string, string> _parentOf = new(StringComparer.Ordinal);
    private readonly string _own;

    public SlowModel(RecordedLife life, string name)
    {
        _life = life;
        _own = name;
        string joined = life.Text(life.WelcomeOf(name), "after")!;
        _tree = new BranchTree(ConvergencePolicy.Adopted, Id(joined), Epoch(joined));
        for (int number = 0; number < life.Steps.Count; number++)
        {
            if (life.Text(number, "step") == "commit" && life.Text(number, "after") is { } after)
            {
                _parentOf[after] = life.Text(number, "source")!;
            }
        }
    }

    public string Label => _life.LabelOf[_tree.Tip];

    /// <summary>Steps whose message is to be shown.</summary>
    public IEnumerable<int> Shown => _shown.Order();

    public void Give(int number) => _given.Add(number);

    /// <summary>Passes until one changes nothing.</summary>
    public void Resolve()
    {
        Bytes32 before;
        do
        {
            before = _tree.Tip;
            Read();
            Show(); // what is on the line is shown at once
            _tree.Resolve(_opened.Select(number => new HeldMessage(Id(_life.Text(number, "source")!), _life.AccountOf(_life.Text(number, "by")!))));
            Show();
        }
        while (_tree.Tip != before);
    }

    // Everything whose state is kept: commits up to five epochs ahead, messages.
    private void Read()
    {
        bool moved;
        do
        {
            moved = false;
            foreach (int number in _given.Except(_opened).Order().ToList())
            {
                var step = _life.Steps[number];
                if (_life.Text(number, "source") is not { } source || _life.IsForbidden(number) || _life.Text(number, "by") == _own
                    || !_tree.Contains(Id(source)))
                {
                    continue;
                }

                if (step.Text("step") == "message")
                {
                    _opened.Add(number);
                    moved = true;
                }
                else if (step.Text("step") == "commit" && _life.Text(number, "after") is { } after
                    && Epoch(source) < _tree.TipEpoch + ConvergencePolicy.Adopted.MaxRewindCommits && Waits(number).All(_given.Contains))
                {
                    var commit = new BranchCommit(Epoch(after), Id(after), _life.AccountOf(step.Text("by")), IsPrivileged(number), step.Key("mls_sha256"));
                    Assert.True(_tree.TryAdd(Id(source), commit));
                    _given.Remove(number);
                    moved = true;
                }
            }
        }
        while (moved);
    }

    private void Show()
    {
        var line = new HashSet<string>(StringComparer.Ordinal);
        for (string? label = Label; label is not null; label = _parentOf.GetValueOrDefault(label))
        {
            line.Add(label);
        }

        foreach (int number in _opened.Where(number => _life.Steps[number].Text("step") == "message" && _tree.Contains(Id(_life.Text(number, "source")!))))
        {
            if (line.Contains(_life.Text(number, "source")!))
            {
                _shown.Add(number);
            }
            else
            {
                _shown.Remove(number);
            }
        }

        // What left the window stays as it is, but for a branch that is left altogether.
        _shown.RemoveWhere(number => !line.Contains(_life.Text(number, "source")!));
    }

    private Bytes32 Id(string label) => _life.State(label).Key("convergence_commitment");

    // Proposals that a commit refers to.
    private IEnumerable<int> Waits(int number)
    {
        var references = Commit(number).Proposals.Where(one => one.Reference is not null).Select(one => Convert.ToHexString(one.Reference!)).ToHashSet();
        return references.Count == 0 ? []
            : Enumerable.Range(0, _life.Steps.Count).Where(at => _life.Text(at, "step") == "proposal" && references.Contains(Reference(at)));
    }

    private bool IsPrivileged(int number) => Commit(number).Proposals.Any(one => one.Proposal is not null);

    private Commit Commit(int number) => Message(number).Public!.Content.Content.Commit!;

    private string Reference(int number) => Convert.ToHexString(Message(number).Public!.Content.ProposalReference(Mls.Crypto.CipherSuite.X25519Aes128Ed25519));

    private MlsMessage Message(int number) =>
        MlsMessage.TryRead(_life.Steps[number].Bytes("mls_message"), out var message, out _) ? message! : throw new InvalidDataException("not a message");

    // "epoch12b" is another state of epoch 12.
    private static ulong Epoch(string label) => ulong.Parse(string.Concat(label.Where(char.IsAsciiDigit)), System.Globalization.CultureInfo.InvariantCulture);
}
