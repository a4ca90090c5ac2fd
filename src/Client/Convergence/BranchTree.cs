using Marmot.Protocol.Encoding;

namespace Marmot.Client.Convergence;

/// <summary>The states of a group that are still of interest, with the valid commits between them: what a pass chooses its candidates from. No I/O, no clock.
/// One caller at a time.</summary>
/// <remarks>It holds what lies in the window: epochs of the own tip less <see cref="ConvergencePolicy.MaxRewindCommits"/>, and all that follows.</remarks>
internal sealed class BranchTree
{
    private readonly ConvergencePolicy _policy;
    private readonly Dictionary<Bytes32, Node> _nodes = [];

    /// <summary>Starts with one state, which is the own tip.</summary>
    public BranchTree(ConvergencePolicy policy, in Bytes32 state, ulong epoch)
    {
        _policy = policy;
        _nodes[state] = new Node(null, state, epoch, null);
        Tip = state;
    }

    /// <summary>The selected state.</summary>
    public Bytes32 Tip { get; private set; }

    /// <summary>Epoch of the selected state.</summary>
    public ulong TipEpoch => _nodes[Tip].Epoch;

    /// <summary>The oldest epoch of which a state is kept.</summary>
    public ulong OldestEpoch => TipEpoch > _policy.MaxRewindCommits ? TipEpoch - _policy.MaxRewindCommits : 0;

    /// <summary>States kept.</summary>
    public IEnumerable<Bytes32> States => _nodes.Keys;

    /// <summary>True when a state is kept: its key opens envelopes, its commits and messages can be judged.</summary>
    public bool Contains(in Bytes32 state) => _nodes.ContainsKey(state);

    /// <summary>Epoch of a state that is kept.</summary>
    public ulong EpochOf(in Bytes32 state) => _nodes[state].Epoch;

    /// <summary>Puts the tip where the group stands: of a tree that is read from a store, or after an own commit has its OK.</summary>
    public void Stand(in Bytes32 state) => Tip = _nodes[state].State;

    /// <summary>Adds a valid commit. False when its parent is not kept: it stays parked.</summary>
    public bool TryAdd(in Bytes32 parent, BranchCommit commit)
    {
        if (!_nodes.TryGetValue(parent, out var node))
        {
            return false;
        }

        if (commit.Epoch != node.Epoch + 1)
        {
            throw new ArgumentException("a commit begins the epoch after its parent's", nameof(commit));
        }

        if (_nodes.TryAdd(commit.State, new Node(node, commit.State, commit.Epoch, commit)))
        {
            node.Children.Add(_nodes[commit.State]);
        }

        return true;
    }

    /// <summary>Decides where the group stands, and moves the tip there; states that fall out of the window then are dropped.</summary>
    /// <returns>Null when there is nothing to choose: no commit follows the tip and no rival is kept.</returns>
    public BranchDecision? Resolve(IEnumerable<HeldMessage> messages)
    {
        // 1. One fork epoch for all: the lowest state with two children, else the own tip.
        var fork = Lowest(node => node.Children.Count > 1) ?? _nodes[Tip];
        if (fork.Children.Count == 0)
        {
            return null;
        }

        // 2. Every path from there to a commit without a child.
        var branches = new List<Branch>();
        Branch? own = null;
        foreach (var leaf in _nodes.Values.Where(node => node.Children.Count == 0))
        {
            if (PathTo(leaf, fork) is { } branch)
            {
                branches.Add(branch);
                own = leaf.State == Tip ? branch : own;
            }
        }

        // 3. Select, move, forget.
        var decision = BranchSelector.Select(fork.Epoch, TipEpoch, branches, messages, _policy, own);
        Tip = decision.Selected.Tip.State;
        Forget();
        return decision;
    }

    private void Forget()
    {
        ulong oldest = OldestEpoch;
        foreach (var gone in _nodes.Values.Where(node => node.Epoch < oldest).ToList())
        {
            _nodes.Remove(gone.State);
            gone.Children.ForEach(child => child.Parent = null);
        }

        // What hangs on a state that is gone and is not on the own line can never be selected: its parent cannot be judged any more.
        var root = _nodes[Tip];
        while (root.Parent is { } parent)
        {
            root = parent;
        }

        foreach (var stray in _nodes.Values.Where(node => !IsBelow(node, root)).ToList())
        {
            _nodes.Remove(stray.State);
        }
    }

    private static bool IsBelow(Node? node, Node root)
    {
        for (; node is not null; node = node.Parent)
        {
            if (node == root)
            {
                return true;
            }
        }

        return false;
    }

    private Node? Lowest(Func<Node, bool> which) => _nodes.Values.Where(which).OrderBy(node => node.Epoch).ThenBy(node => node.State).FirstOrDefault();

    private static Branch? PathTo(Node leaf, Node fork)
    {
        var commits = new List<BranchCommit>();
        for (var node = leaf; node != fork; node = node.Parent)
        {
            if (node.Commit is null || node.Parent is null)
            {
                return null;
            }

            commits.Add(node.Commit);
        }

        commits.Reverse();
        return commits.Count > 0 ? new Branch(commits) : null;
    }

    private sealed class Node(Node? parent, Bytes32 state, ulong epoch, BranchCommit? commit)
    {
        public Node? Parent { get; set; } = parent;

        public Bytes32 State { get; } = state;

        public ulong Epoch { get; } = epoch;

        public BranchCommit? Commit { get; } = commit;

        public List<Node> Children { get; } = [];
    }
}
