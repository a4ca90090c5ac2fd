using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Events;

namespace Marmot.Client.Tests.Simulation;

/// <summary>A process that was killed in the middle of a step.</summary>
internal sealed class CrashException : Exception;

/// <summary>
/// Clients, relays and everything that goes wrong between them, decided by one seed: loss, false answers, duplicates, reordering, delay, partitions, wrong clocks, kills before and after an
/// event reached its relay. Nothing in it depends on the machine but fresh keys, so a failing seed fails again.
/// </summary>
internal sealed class FaultySimulation(int seed, int clients) : IAsyncDisposable
{
    private const int MaxSkewSeconds = 20;

    private static readonly string[] Relays = ["ws://one.test/", "ws://two.test/"];

    private readonly Random _random = new(seed);
    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private readonly List<Member> _members = [];
    private readonly HashSet<string> _sent = new(StringComparer.Ordinal);
    private readonly HashSet<string> _mayBeMissing = new(StringComparer.Ordinal);
    private bool _healed;

    public string Group { get; private set; } = "";

    public List<string> Log { get; } = [];

    public int Commits { get; private set; }

    public int Rollbacks { get; private set; }

    public int Crashes { get; private set; }

    public async Task StartAsync()
    {
        for (int i = 0; i < clients; i++)
        {
            // Each has a clock of its own that is wrong by some seconds and goes with the common one.
            var member = await Member.StartAsync(_network, new SkewedClock(_clock, TimeSpan.FromSeconds(_random.Next(-MaxSkewSeconds, MaxSkewSeconds + 1))).Clock, relays: Relays);
            _members.Add(member);
        }

        Group = (await _members[0].Client.CreateGroupAsync("simulation", "", Relays, [_members[1].Key])).GroupId;
        await _members[0].Client.InviteAsync(Group, [.. _members.Skip(1).Select(member => member.Key)]);
        foreach (var member in _members.Skip(1))
        {
            Require((await member.Client.AcceptInvitesAsync()).Joined.Count == 1, "a member did not join");
        }

        foreach (var member in _members)
        {
            Break(member);
        }
    }

    public async Task StepAsync(int step)
    {
        Advance(_random.Next(1, 8));
        int who = _random.Next(clients);
        var member = _members[who];
        int what = _random.Next(1000);
        try
        {
            switch (what)
            {
                case < 400:
                    string text = $"{step}/{who}";
                    _sent.Add(text);
                    try
                    {
                        await member.Client.SendAsync(Group, text);
                    }
                    catch (ClientException)
                    {
                        _mayBeMissing.Add(text); // every relay refused it, or so they said
                    }
                    catch (CrashException)
                    {
                        _mayBeMissing.Add(text); // killed before or after it was stored
                        throw;
                    }

                    break;
                case < 430:
                    await SyncAsync(member);
                    await TryAsync(member.Client.SelfUpdateAsync(Group));
                    break;
                case < 440:
                    await TryAsync(member.Client.SelfUpdateAsync(Group)); // without looking first
                    break;
                case < 455:
                    member = _members[_random.Next(2)];
                    await SyncAsync(member);
                    await TryAsync(member.Client.UpdateGroupAsync(Group, new GroupChange { Name = $"name {step}" }));
                    break;
                case < 475:
                    member.View.IsOffline = !member.View.IsOffline;
                    break;
                case < 490:
                    string relay = Relays[_random.Next(2)];
                    if (!member.View.Unreachable.Remove(relay))
                    {
                        member.View.Unreachable.Add(relay);
                    }

                    break;
                case < 510:
                    await RestartAsync(member);
                    break;
                default:
                    await SyncAsync(member);
                    break;
            }
        }
        catch (CrashException)
        {
            Crashes++;
            await RestartAsync(member);
        }

        // Nobody stays cut off for long: five epochs back is as far as anybody can follow.
        if (step % 12 == 0)
        {
            foreach (var cut in _members)
            {
                cut.View.IsOffline = false;
                cut.View.Unreachable.Clear();
                await GuardedSyncAsync(cut);
            }
        }
    }

    /// <summary>Everything works again; true when all end in one epoch with the same messages.</summary>
    public async Task<bool> HealAsync()
    {
        _healed = true;
        for (int round = 0; round < 12; round++)
        {
            Advance(30);
            foreach (var member in _members)
            {
                member.View.IsOffline = false;
                member.View.Unreachable.Clear();
                await member.Client.ResumeAsync();
                await SyncAsync(member);
            }

            if (round > 2 && Differences().Count == 0)
            {
                return true;
            }
        }

        return false;
    }

    public List<string> Differences()
    {
        var differences = new List<string>();
        var first = _members[0].State(Group);
        foreach (var (member, index) in _members.Select((member, index) => (member, index)))
        {
            var state = member.State(Group);
            if ((state.Epoch, state.EpochAuthenticator, state.TreeHash, state.Name) != (first.Epoch, first.EpochAuthenticator, first.TreeHash, first.Name))
            {
                differences.Add($"client {index} is in epoch {state.Epoch} {state.EpochAuthenticator[..8]}, client 0 in {first.Epoch} {first.EpochAuthenticator[..8]}");
            }

            var texts = member.Texts(Group);
            if (texts.Distinct().Count() != texts.Count)
            {
                differences.Add($"client {index} has a message twice");
            }

            differences.AddRange(_sent.Where(text => !_mayBeMissing.Contains(text)).Except(texts).Select(text => $"client {index} lacks {text}"));
            differences.AddRange(texts.Except(_sent).Select(text => $"client {index} has {text}, which nobody sent"));
            differences.AddRange(_members[0].Texts(Group).Except(texts).Select(text => $"client {index} lacks {text}, which client 0 has"));
        }

        return differences;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var member in _members)
        {
            await member.DisposeAsync();
        }
    }

    private void Advance(int seconds) => _clock.Advance(TimeSpan.FromSeconds(seconds));

    private async Task RestartAsync(Member member)
    {
        Log.Add($"restart {_members.IndexOf(member)}");
        await member.RestartAsync();
        Break(member);
    }

    private async Task GuardedSyncAsync(Member member)
    {
        try
        {
            await SyncAsync(member);
        }
        catch (CrashException)
        {
            Crashes++;
            await RestartAsync(member);
        }
    }

    private async Task SyncAsync(Member member)
    {
        var report = await member.Client.SyncAsync(Group);
        Rollbacks += report.Count(GroupOutcome.RolledBack);
        Commits += report.Count(GroupOutcome.Commit);
        Log.Add($"sync {_members.IndexOf(member)} epoch {member.State(Group).Epoch}: {string.Join(' ', report.Incidents.Where(one => one.Outcome != GroupOutcome.Message).Select(one => $"{one.EventId.ToString()[..6]} {one.Outcome} {one.Reason}"))}");
    }

    private static async Task TryAsync(Task step)
    {
        try
        {
            await step;
        }
        catch (ClientException)
        {
            // Refused or unanswered: the next sync settles it.
        }
    }

    // What this client's connections do to what passes through them.
    private void Break(Member member)
    {
        member.View.OnPublish = (relay, evt) => evt.Kind != 445 || _healed ? null : _random.Next(100) switch
        {
            < 3 => (RelayAnswer.Unknown, "no answer", false), // lost on the way
            < 6 => (RelayAnswer.Unknown, "no answer", true), // the OK was lost
            < 8 => (RelayAnswer.Accepted, "", false), // an OK that is not kept
            < 9 => (RelayAnswer.Refused, "error: no", true), // a refusal that is not meant
            < 11 => (RelayAnswer.Refused, "error: no", false),
            < 12 => throw new CrashException(), // killed before it was sent
            _ => null,
        };
        member.View.OnFetch = (_, events) =>
        {
            if (_healed)
            {
                return events;
            }

            // Late, twice and in any order.
            var shown = events.Where(evt => evt.Kind != 445 || evt.CreatedAt < _clock.GetUtcNow().ToUnixTimeSeconds() - 60 || _random.Next(100) >= 15).ToList();
            shown.AddRange(shown.Where(_ => _random.Next(10) == 0).ToList());
            var mixed = shown.ToArray();
            _random.Shuffle(mixed);
            return mixed;
        };
    }

    private static void Require(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException(what);
        }
    }

    /// <summary>A clock that is another one and some seconds.</summary>
    private sealed class SkewedClock(ManualClock common, TimeSpan skew)
    {
        public ManualClock Clock { get; } = new Following(common, skew);

        private sealed class Following(ManualClock common, TimeSpan skew) : ManualClock(DateTimeOffset.UnixEpoch)
        {
            public override DateTimeOffset GetUtcNow() => common.GetUtcNow() + skew;
        }
    }
}
