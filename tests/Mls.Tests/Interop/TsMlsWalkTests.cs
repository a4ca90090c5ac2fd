using System.Numerics;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Tests.Groups;
using Marmot.Mls.Tree;
using Xunit.Abstractions;

namespace Marmot.Mls.Tests.Interop;

/// <summary>
/// Seeded random walks of a group whose members live here and in ts-mls. The walk keeps to what both can do: ts-mls adds without a path, removes two at a time
/// (one Remove comes without the path it needs), commits no Updates (it encrypts to replaced keys) and learns nothing of its own removal. Two more of its
/// faults are told where the walk goes round them.
/// </summary>
[Trait("Spec", "RFC 9420")]
public sealed class TsMlsWalkTests(ITestOutputHelper output)
{
    private const int Operations = 200;
    private const int MaxMembers = 33;

    [Theory]
    [InlineData(1, 7)]
    [InlineData(2, 8)]
    public void Members_of_both_sides_agree_in_every_epoch_of_a_random_walk(int seed, int maxPeers)
    {
        using var peer = new TsMlsPeer();
        var walk = new Walk(peer, new Random(seed), maxPeers);
        for (var i = 0; i < Operations; i++) walk.Step();
        var done = string.Join(", ", walk.Done.OrderBy(d => d.Key).Select(d => $"{d.Value} {d.Key}"));
        output.WriteLine($"seed {seed}: {done}; {walk.Smallest} to {walk.Largest} members");
        Assert.Equal((2, MaxMembers), (walk.Smallest, walk.Largest));
        Assert.True(walk.Done.Count >= 11, done);
    }

    private sealed class Walk
    {
        private static readonly byte[] GroupData = [0, 2, 7];

        private readonly TsMlsPeer _peer;
        private readonly Random _random;
        private readonly int _maxPeers;
        private readonly List<Client> _ours = [];
        private readonly List<(string Name, int Leaf)> _theirs = [];
        private int _names;
        private bool _growing = true;

        public Walk(TsMlsPeer peer, Random random, int maxPeers)
        {
            (_peer, _random, _maxPeers) = (peer, random, maxPeers);
            if (random.Next(2) == 0)
            {
                var first = NewClient().Creates(extensions: [new Extension(Client.GroupData, GroupData)]);
                _ours.Add(first);
                var name = NewName();
                var commit = Client.Commits(first, _ours, new CommitRequest { Proposals = [new AddProposal(_peer.Generate(name))] });
                _theirs.Add((name, _peer.Join(name, commit.Welcome!)));
            }
            else
            {
                var name = NewName();
                _peer.Generate(name);
                _peer.Create(name, "walk", GroupData);
                _theirs.Add((name, 0));
                var first = NewClient();
                first.Joins(_peer.Commit(name, add: [first.NewPackage()]).Welcome!);
                _ours.Add(first);
            }
            Compare();
        }

        public Dictionary<string, int> Done { get; } = [];
        public int Smallest { get; private set; } = MaxMembers;
        public int Largest { get; private set; }
        private int Members => _ours.Count + _theirs.Count;

        public void Step()
        {
            // Up to the largest size, down to the smallest, and up again.
            if (Members == MaxMembers) _growing = false;
            if (Members == 2) _growing = true;
            var what = _random.Next(20);
            var operation = what switch
            {
                < 9 => _growing ? Add() : Remove(),
                < 11 => _growing ? Remove() : Add(),
                < 14 => Renew(),
                < 16 => Update(),
                < 18 => Propose(),
                _ => Talk(),
            };
            Done[operation] = Done.GetValueOrDefault(operation) + 1;
            Compare();
        }

        private string NewName() => $"member {_names++}";
        private Client NewClient() => new(NewName());
        private T Any<T>(IReadOnlyList<T> list) => list[_random.Next(list.Count)];
        private bool PeerActs() => _random.Next(Members) < _theirs.Count;

        /// <summary>Everyone but the sender gets it.</summary>
        private void Deliver(MlsMessage message, object sender)
        {
            var names = _theirs.Select(t => t.Name).Where(n => !n.Equals(sender)).ToArray();
            if (names.Length > 0) _peer.Process(names, message);
            foreach (var our in _ours.Where(o => o != sender))
            {
                if (our.Group.Process(Client.Wire(message)) is ReceivedCommit { Commit: var staged }) our.Group.Merge(staged);
            }
            _ours.RemoveAll(o => o.Group.IsClosed);
        }

        private StagedCommit Commit(Client committer, CommitRequest request)
        {
            var commit = committer.Group.Commit(request);
            committer.Group.Merge(commit);
            Deliver(commit.Message!, committer);
            return commit;
        }

        private string Add()
        {
            var count = Math.Min(1 + _random.Next(3), MaxMembers - Members);
            if (count == 0) return Renew();
            var newcomers = new List<Client>();
            var names = new List<string>();
            var packages = new List<KeyPackage>();
            for (var i = 0; i < count; i++)
            {
                if (_theirs.Count + names.Count < _maxPeers && _random.Next(3) == 0)
                {
                    names.Add(NewName());
                    packages.Add(_peer.Generate(names[^1]));
                }
                else
                {
                    newcomers.Add(NewClient());
                    packages.Add(newcomers[^1].NewPackage());
                }
            }
            if (names.Count > 0 && !PeersCanJoin(packages))
            {
                foreach (var name in names) _peer.Leave(name);
                names.Clear();
                newcomers.Add(NewClient());
                packages = [.. newcomers.Select(n => n.NewPackage())];
            }
            var byPeer = PeerActs();
            MlsMessage welcome;
            if (byPeer)
            {
                var (name, _) = Any(_theirs);
                (var commit, var peerWelcome) = _peer.Commit(name, add: packages);
                Deliver(commit, name);
                welcome = peerWelcome!;
            }
            else
            {
                welcome = Commit(Any(_ours), new CommitRequest { Proposals = [.. packages.Select(p => new AddProposal(p))] }).Welcome!;
            }
            foreach (var newcomer in newcomers) newcomer.Joins(welcome);
            _ours.AddRange(newcomers);
            foreach (var name in names) _theirs.Add((name, _peer.Join(name, welcome)));
            return byPeer ? "added by them" : "added by us";
        }

        /// <summary>
        /// This version refuses a tree with two lists of unmerged leaves that differ where one node is above the other, although only the leaf in question must
        /// stand in both (RFC 9420, 12.4.3.1). Such a tree is no place for a newcomer of theirs.
        /// </summary>
        private bool PeersCanJoin(IEnumerable<KeyPackage> packages)
        {
            var staged = _ours[0].Group.Commit(new CommitRequest { Proposals = [.. packages.Select(p => new AddProposal(p))] });
            var tree = staged.Next!.Tree;
            var parents = Enumerable.Range(0, tree.LeafCount - 1).Select(i => (2 * i) + 1).Where(n => !tree.IsBlank(n)).ToArray();
            var can = parents.All(node => tree.Parent(node)!.UnmergedLeaves.All(leaf => TreeMath.DirectPath((int)leaf, tree.LeafCount)
                .All(above => tree.IsBlank(above) || tree.Parent(above)!.UnmergedLeaves.SequenceEqual(tree.Parent(node)!.UnmergedLeaves))));
            _ours[0].Group.Discard(staged);
            return can;
        }

        /// <summary>
        /// Where the left half of the tree is blank, the root is not on the path (RFC 9420, 7.4), but this version derives a secret for it when it follows:
        /// walks leave such trees out while a member of theirs is there.
        /// </summary>
        private bool PeersCanFollow(params int[] removed)
        {
            int[] left = [.. _ours.Select(o => o.Group.OwnLeaf).Concat(_theirs.Select(t => t.Leaf)).Except(removed)];
            return !_theirs.Any(t => left.Contains(t.Leaf)) || left.Max() == 0 || left.Min() < BitOperations.RoundUpToPowerOf2((uint)left.Max() + 1) / 2;
        }

        private string Remove()
        {
            if (Members <= 2) return Renew();
            var byPeer = PeerActs();
            if (byPeer && Members >= 4 && _ours.Count >= 3)
            {
                var (name, _) = Any(_theirs);
                int[] victims = [.. _ours.Select(o => o.Group.OwnLeaf).OrderBy(_ => _random.Next()).Take(2)];
                if (!PeersCanFollow(victims)) return Renew();
                Deliver(_peer.Commit(name, remove: victims).Commit, name);
                return "removed by them";
            }
            var committer = Any(_ours);
            var others = _ours.Where(o => o != committer).Select(o => o.Group.OwnLeaf).Concat(_theirs.Select(t => t.Leaf))
                .OrderBy(_ => _random.Next()).ToArray();
            var leaves = others.Take(1 + _random.Next(Math.Min(3, Members - 2))).ToArray();
            if (!PeersCanFollow(leaves)) return Renew();
            foreach (var gone in _theirs.Where(t => leaves.Contains(t.Leaf))) _peer.Leave(gone.Name);
            _theirs.RemoveAll(t => leaves.Contains(t.Leaf));
            Commit(committer, new CommitRequest { Proposals = [.. leaves.Select(l => new RemoveProposal((uint)l))] });
            return "removed by us";
        }

        private string Renew()
        {
            if (_theirs.Count > 0 && PeerActs())
            {
                var (name, _) = Any(_theirs);
                Deliver(_peer.Commit(name).Commit, name);
                return "renewed by them";
            }
            Commit(Any(_ours), new CommitRequest { ForcePath = true });
            return "renewed by us";
        }

        /// <summary>Updates of some of our members, committed by another. ts-mls takes no Update from leaf 0.</summary>
        private string Update()
        {
            var updaters = _ours.Where(o => o.Group.OwnLeaf != 0).OrderBy(_ => _random.Next()).Take(3).ToArray();
            var committer = _ours.FirstOrDefault(o => !updaters.Contains(o));
            if (committer is null || updaters.Length == 0) return Renew();
            foreach (var updater in updaters) Deliver(updater.Group.ProposeUpdate(), updater);
            Commit(committer, new CommitRequest());
            return "updated and committed by us";
        }

        /// <summary>An Add or Remove proposed by one side and committed by the same or the other.</summary>
        private string Propose()
        {
            var byPeer = _theirs.Count > 0 && PeerActs();
            if (Members < MaxMembers && _random.Next(2) == 0)
            {
                var newcomer = NewClient();
                if (byPeer)
                {
                    var (name, _) = Any(_theirs);
                    Deliver(_peer.Propose(name, add: newcomer.NewPackage()), name);
                }
                else
                {
                    var proposer = Any(_ours);
                    Deliver(proposer.Group.Propose(new AddProposal(newcomer.NewPackage())), proposer);
                }
                var peerCommits = _theirs.Count > 0 && PeerActs();
                MlsMessage welcome;
                if (peerCommits)
                {
                    var (name, _) = Any(_theirs);
                    (var commit, var peerWelcome) = _peer.Commit(name);
                    Deliver(commit, name);
                    welcome = peerWelcome!;
                }
                else
                {
                    welcome = Commit(Any(_ours), new CommitRequest()).Welcome!;
                }
                newcomer.Joins(welcome);
                _ours.Add(newcomer);
                return $"add proposed by {(byPeer ? "them" : "us")} and committed by {(peerCommits ? "them" : "us")}";
            }

            // Someone leaves: proposes the Remove of himself or of another of ours; we commit, because the path is required.
            if (_ours.Count < 3 || Members < 4) return Renew();
            var leaver = Any(_ours);
            if (!PeersCanFollow(leaver.Group.OwnLeaf)) return Renew();
            if (byPeer)
            {
                var (name, _) = Any(_theirs);
                Deliver(_peer.Propose(name, remove: leaver.Group.OwnLeaf), name);
            }
            else
            {
                Deliver(leaver.Group.Propose(new RemoveProposal((uint)leaver.Group.OwnLeaf)), leaver);
            }
            Commit(Any([.. _ours.Where(o => o != leaver)]), new CommitRequest());
            return $"remove proposed by {(byPeer ? "them" : "us")} and committed by us";
        }

        private string Talk()
        {
            var data = new byte[_random.Next(400)];
            _random.NextBytes(data);
            var (ourSender, theirSender) = (Any(_ours), _theirs.Count > 0 ? Any(_theirs).Name : null);
            var message = ourSender.Group.Protect(data, padTo: _random.Next(3) * 64);
            foreach (var other in _ours.Where(o => o != ourSender))
            {
                Assert.Equal(data, Assert.IsType<ReceivedApplication>(other.Group.Process(Client.Wire(message))).Data);
            }

            if (theirSender is null) return "messages";
            Assert.All(_peer.Process(_theirs.Select(t => t.Name), message), r => Assert.Equal(Convert.ToHexStringLower(data), r));
            message = _peer.Send(theirSender, data);
            foreach (var our in _ours) Assert.Equal(data, Assert.IsType<ReceivedApplication>(our.Group.Process(Client.Wire(message))).Data);
            if (_theirs.Count > 1)
            {
                Assert.All(_peer.Process(_theirs.Select(t => t.Name).Where(n => n != theirSender), message),
                    r => Assert.Equal(Convert.ToHexStringLower(data), r));
            }

            return "messages";
        }

        private void Compare()
        {
            var expected = Agreement.Of(_ours[0].Group);
            Assert.All(_ours, o => Assert.Equal(expected, Agreement.Of(o.Group)));
            Assert.All(_peer.Agree(_theirs.Select(t => t.Name)), a => Assert.Equal(expected, a));
            Smallest = Math.Min(Smallest, Members);
            Largest = Math.Max(Largest, Members);
        }
    }
}
