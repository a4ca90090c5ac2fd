using System.Globalization;
using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Protocol.Events;
using Xunit.Abstractions;

namespace Marmot.Client.Tests.Adopted;

/// <summary>
/// Ten clients in a group over a network that loses, delays, repeats, reorders and splits, with clocks hours apart and processes that end at any moment:
/// once all has reached everybody, all members stand
/// in one state and have shown the same messages, and no generation was used twice.
/// </summary>
[Trait("Spec", "Adopted profile")]
public sealed class AdoptedSimulationTests(ITestOutputHelper output)
{
    private const int Clients = 10;

    /// <summary>Unsettled commits in a row that a life may have: what forks deeper than the window is beyond repair by the rules.</summary>
    private const int MaxOpenCommits = 4;

    /// <summary>Steps of a life; set to tens of thousands for a full run.</summary>
    private static readonly int Steps =
        int.TryParse(Environment.GetEnvironmentVariable("MARMOT_ADOPTED_STEPS"), NumberStyles.None, CultureInfo.InvariantCulture, out int steps) ? steps : 1500;

    [Fact]
    public void Members_end_on_one_branch_with_the_same_messages()
    {
        int seed = Environment.GetEnvironmentVariable("MARMOT_ADOPTED_SEED") is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : Random.Shared.Next();
        output.WriteLine($"seed {seed}, {Steps} steps");
        using var life = new Life(seed);
        for (int step = 0; step < Steps; step++)
        {
            life.Step();
        }

        life.Heal();
        output.WriteLine(life.ToString());
        Assert.True(life.Commits > Steps / 60 && life.Rewinds > 0, life.ToString());
    }

    private sealed class Life : IDisposable
    {
        private readonly Random _dice;
        private readonly Circle _circle;
        private readonly List<NostrEvent> _all = [];
        private readonly Dictionary<Peer, List<NostrEvent>> _underWay = [];
        private readonly Dictionary<Peer, NostrEvent> _unanswered = [];
        private HashSet<Peer> _island = [];
        private int _open;
        private int _said;
        private int _healed;
        private readonly int _seed;

        public Life(int seed)
        {
            _seed = seed;
            _dice = new Random(seed);
            _circle = new Circle(Clients, admins: 3, dice: _dice);
            foreach (var peer in _circle.Peers)
            {
                _underWay[peer] = [];
            }
        }

        public int Commits { get; private set; }

        public int Rewinds => _circle.Peers.Sum(peer => peer.Incidents.Count(one => one.Outcome == GroupOutcome.RolledBack));

        public void Step()
        {
            _circle.Clock.Advance(TimeSpan.FromMilliseconds(_dice.Next(700)));
            var peer = _circle.Peers[_dice.Next(Clients)];
            peer.Tick();
            switch (_dice.Next(100))
            {
                case < 30:
                    Say(peer);
                    break;
                case < 70:
                    Deliver(peer);
                    break;
                case < 76:
                    Commit(peer);
                    break;
                case < 82:
                    Answer(peer);
                    break;
                case < 88:
                    peer.Restart();
                    break;
                case < 91:
                    _island = [.. _circle.Peers.Where(_ => _dice.Next(2) == 0)];
                    break;
                case < 94:
                    _island = [];
                    break;
                case < 98:
                    Look(peer);
                    break;
                default:
                    Heal();
                    break;
            }
        }

        /// <summary>All reaches everybody, in any order; then they must agree.</summary>
        public void Heal()
        {
            _island = [];
            foreach (var peer in _circle.Peers)
            {
                Answer(peer);
            }

            for (int round = 0; round < 3; round++)
            {
                foreach (var peer in _circle.Peers)
                {
                    Look(peer);
                }

                _circle.Settle();
            }

            foreach (var peer in _circle.Peers)
            {
                _underWay[peer].Clear();
            }

            var agreed = _circle.Peers.Where(peer => peer.Group.IsActive).GroupBy(peer => peer.Group.TipState).OrderByDescending(same => same.Count()).First();
            var members = agreed.First().Group.Describe().Members.ToHashSet();
            var apart = _circle.Peers.Where(peer => members.Contains(peer.Account) && peer.Group.TipState != agreed.Key).ToList();
            Assert.True(apart.Count == 0, $"seed {_seed}: {apart.Count} members apart after {this}");
            var shown = agreed.Where(peer => members.Contains(peer.Account)).Select(peer => string.Join('\n', peer.Shown)).Distinct().Count();
            Assert.True(shown == 1, $"seed {_seed}: members show different messages after {this}");
            _open = 0;
            _healed++;
        }

        public void Dispose() => _circle.Dispose();

        public override string ToString() =>
            $"{Commits} commits, {Rewinds} rewinds, {_circle.Messages} messages, {_healed} times whole, epoch {_circle.Peers.Max(peer => peer.Group.Epoch)}";

        private void Say(Peer peer)
        {
            if (peer.Group is { IsActive: true, IsQuiet: true, IsLeaving: false })
            {
                Send(peer, peer.Say($"message {_said++}"));
            }
        }

        private void Commit(Peer peer)
        {
            if (_open >= MaxOpenCommits || peer.Group is not { IsActive: true, IsQuiet: true, IsLeaving: false })
            {
                return;
            }

            NostrEvent? evt;
            if (peer.Group.IsAdmin)
            {
                var admins = peer.Group.State.Admins.Admins.ToList();
                evt = _dice.Next(5) switch
                {
                    0 => peer.Group.StageSelfUpdate(),
                    1 when peer.Group.Describe().Members.FirstOrDefault(member => !admins.Contains(member)) is var member
                        && peer.Group.Describe().Members.Contains(member)
                        => peer.Group.StageChange(new AdoptedChange { Admins = [.. admins, member] }),
                    2 when admins.Count > 2 =>
                        peer.Group.StageChange(new AdoptedChange { Admins = [.. admins.Where(admin => admin != admins.Find(other => other != peer.Account))] }),
                    3 => peer.Group.StageQueued(out _),
                    _ => peer.Group.StageChange(new AdoptedChange { Name = $"name {Commits}" }),
                };
            }
            else
            {
                evt = peer.Group.StageSelfUpdate();
            }

            if (evt is not null)
            {
                _unanswered[peer] = evt;
                _open++;
                Commits++;
                if (_dice.Next(3) > 0)
                {
                    Answer(peer);
                }
            }
        }

        // Taken; or reported failed, and yet a relay has it; or failed.
        private void Answer(Peer peer)
        {
            if (!_unanswered.Remove(peer, out var evt))
            {
                return;
            }

            int fate = _dice.Next(10);
            if (fate < 8)
            {
                peer.Confirm();
            }
            else
            {
                peer.Group.AbandonCommit();
            }

            if (fate < 9)
            {
                Send(peer, evt);
            }
        }

        private void Send(Peer from, NostrEvent evt)
        {
            _all.Add(evt);
            foreach (var peer in _circle.Peers.Where(peer => peer != from && _dice.Next(10) > 0)) // one in ten is lost until somebody looks
            {
                _underWay[peer].Add(evt);
                if (_dice.Next(8) == 0)
                {
                    _underWay[peer].Add(evt);
                }
            }
        }

        private void Deliver(Peer peer)
        {
            var waiting = _underWay[peer];
            for (int many = _dice.Next(1, 5); many > 0 && waiting.Count > 0 && !_island.Contains(peer); many--)
            {
                int at = _dice.Next(3) == 0 ? _dice.Next(waiting.Count) : 0;
                peer.Hear(waiting[at]);
                waiting.RemoveAt(at);
            }
        }

        private void Look(Peer peer)
        {
            if (!_island.Contains(peer))
            {
                var events = _all.Skip(Math.Max(0, _all.Count - 400)).ToArray();
                _dice.Shuffle(events);
                peer.Hear(events);
            }
        }
    }
}
