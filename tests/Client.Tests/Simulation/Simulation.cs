using System.Globalization;
using System.Text.RegularExpressions;
using Marmot.Client.Groups;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Tests.Simulation;

/// <summary>
/// Up to ten clients of one group over relays that lose, repeat, delay, hide, refuse and lie, with wrong clocks and dying processes; in rounds of some troubled
/// steps, after which the network heals and everybody must agree. Inside a round at most four commits are made, since beyond five epochs a lost race cannot be
/// taken back (MIP-03).
/// </summary>
internal sealed partial class Simulation
{
    private const int StepsARound = 50;
    private const int CommitsARound = 4;
    private const int MaxCalmTurns = 40;

    // Clients' clocks never show the same second when ties are off: then a run depends on the seed alone. With ties the smaller event id decides, and ids are
    // random.
    private const int Phases = 32;

    private readonly int _seed;
    private readonly int _steps;
    private readonly SimNetwork _network;
    private readonly List<SimClient> _clients = [];
    private readonly List<string> _trace = [];
    private readonly Dictionary<Bytes32, (int Sender, string Text)> _sent = []; // of this round, for certain
    private readonly HashSet<int> _stable = []; // members since before this round
    private string _group = string.Empty;
    private int _commits;
    private int _step;
    private string _what = string.Empty;

    public Simulation(int seed, int steps, int clients, bool hasTies = false)
    {
        (_seed, _steps) = (seed, steps);
        _network = new SimNetwork(seed, relayCount: 3);
        var dice = SimDice.For(seed, 10);
        for (int index = 0; index < clients; index++)
        {
            int skew = (dice.Next(-4, 5) * Phases) + (hasTies ? 0 : index * (Phases / 10));
            _clients.Add(new SimClient(index, _network,
                new ManualClock(DateTimeOffset.FromUnixTimeSeconds((1_790_000_000 / Phases * Phases) + skew))));
        }
    }

    /// <summary>What happened, line by line, without what keys and ids decide: equal for every run of a seed without ties.</summary>
    public IEnumerable<string> Trace => _trace.Select(line => Authenticator().Replace(line, "."));

    public int Messages { get; private set; }

    public int Crashes => _clients.Sum(client => client.Crashes);

    public int RollBacks { get; private set; }

    public int Orphans { get; private set; }

    public ulong Epoch => _clients[0].State(_group)!.Epoch;

    private SimClient Alice => _clients[0];

    /// <summary>Runs to the end; a broken promise throws with the seed, the step and the last steps before it.</summary>
    public async Task RunAsync()
    {
        try
        {
            await FoundAsync();
            while (_step < _steps)
            {
                await RoundAsync();
                await CalmAsync();
            }
        }
        catch (Exception exception)
        {
            throw new InvalidOperationException(
                $"seed {_seed} broke at step {_step}: {exception.Message}\nreplay: MARMOT_SIM_SEEDS={_seed} MARMOT_SIM_STEPS={_steps} "
                    + $"MARMOT_SIM_CLIENTS={_clients.Count} dotnet test tests/Client.Tests --filter SimulationTests\n{string.Join('\n', _trace.TakeLast(120))}",
                exception);
        }
    }

    private async Task FoundAsync()
    {
        foreach (var client in _clients)
        {
            await client.Client.PublishRelayListsAsync();
            await client.Client.PublishKeyPackageAsync();
        }

        _group = (await Alice.Client.CreateGroupAsync("simulated", "a group in trouble")).GroupId;
        var others = _clients.Skip(1).Take(_clients.Count / 2).ToList();
        await Alice.Client.InviteAsync(_group, [.. others.Select(client => client.Key)]);
        foreach (var client in others)
        {
            await client.Client.AcceptInvitesAsync();
        }

        await CalmAsync();
    }

    private async Task RoundAsync()
    {
        _sent.Clear();
        _commits = 0;
        _network.Trouble = SimDice.For(_seed, 20, _step).NextDouble() * 0.5;
        _trace.Add($"-- step {_step}: trouble {_network.Trouble:F2}, members {string.Join(' ', _stable.Select(index => _clients[index].Name))}");
        for (int i = 0; i < StepsARound; i++, _step++)
        {
            Tick(Phases);
            var dice = SimDice.For(_seed, 30, _step);
            var client = _clients[dice.Next(_clients.Count)];
            if (client.State(_group) is not { IsActive: true } && dice.Next(4) > 0)
            {
                var members = _clients.Where(one => one.State(_group) is { IsActive: true }).ToList();
                client = members[dice.Next(members.Count)];
            }

            if (dice.Next(12) == 0)
            {
                client.DieAfter(dice.Next(0, 5), dice.Next(2) == 0);
            }

            string outcome;
            try
            {
                (_, outcome) = await ActAsync(client, dice);
            }
            catch (ClientException refusal)
            {
                outcome = $"no: {refusal.Message}";
            }
            catch (Exception) when (client.IsDead)
            {
                outcome = "died";
            }

            client.Live();
            if (client.IsDead || dice.Next(40) == 0)
            {
                client.Restart(dice.Next);
                outcome += ", restarted";
            }

            _trace.Add($"{_step} {client.Name} {_what}: {outcome} [{client.State(_group)?.Epoch}]");
        }
    }

    private async Task<(string What, string Outcome)> ActAsync(SimClient client, Random dice)
    {
        int roll = dice.Next(100);
        if (client.State(_group) is not { IsActive: true } state)
        {
            _what = "inbox";
            return (_what, Count(await client.Client.AcceptInvitesAsync()));
        }

        bool mayCommit = _commits < CommitsARound;
        bool isAdmin = state.Admins.Contains(client.Key);
        switch (roll)
        {
            case < 40:
                return await SendAsync(client);
            case < 70:
                _what = "sync";
                return (_what, Show(await client.Client.SyncAsync(_group)));
            case < 74:
                _what = "resume";
                await client.Client.ResumeAsync();
                return (_what, "done");
            case < 80 when mayCommit:
                return await CommitAsync("self-update", () => client.Client.SelfUpdateAsync(_group));
            case < 84 when mayCommit && isAdmin:
                return await CommitAsync("rename", () => client.Client.UpdateGroupAsync(_group, new GroupChange { Name = $"at {_step}" }));
            case < 86 when mayCommit && isAdmin:
                return await CommitAsync("new routing id", () => client.Client.UpdateGroupAsync(_group, new GroupChange { NostrGroupId = RandomId(dice) }));
            case < 88 when mayCommit && isAdmin:
                var relays = _network.Urls.Where(_ => dice.Next(2) == 0).ToList();
                return await CommitAsync($"{relays.Count} relays",
                    () => client.Client.UpdateGroupAsync(_group, new GroupChange { Relays = relays.Count == 0 ? _network.Urls : relays }));
            case < 93 when mayCommit && client == Alice:
                return await InviteAsync(state, dice);
            case < 95 when mayCommit && isAdmin:
                return await RemoveAsync(client, state, dice);
            case < 96 when mayCommit && client == Alice:
                var promoted = _clients.Where(other => other != Alice && _stable.Contains(other.Index)).Take(dice.Next(3)).Select(other => other.Key);
                return await CommitAsync("admins", () => client.Client.UpdateGroupAsync(_group, new GroupChange { Admins = [Alice.Key, .. promoted] }));
            case < 97 when mayCommit && !isAdmin && client != Alice:
                _stable.Remove(client.Index);
                return await CommitAsync("leave", () => client.Client.LeaveAsync(_group));
            case < 98 when mayCommit:
                return await CommitAsync("commit pending", () => client.Client.CommitPendingAsync(_group));
            case < 99:
                _what = "new key package";
                await client.Client.PublishKeyPackageAsync();
                return (_what, "done");
            default:
                _what = "sync";
                return (_what, Show(await client.Client.SyncAsync(_group)));
        }
    }

    private async Task<(string What, string Outcome)> SendAsync(SimClient client)
    {
        string text = $"{client.Name} at {_step}";
        _what = "send";
        var sent = await client.Client.SendAsync(_group, text);
        Messages++;
        _sent.Add(sent.Rumor.Id, (client.Index, text));
        return (_what, sent.Published.Acked ? "acked" : "unknown");
    }

    private async Task<(string What, string Outcome)> CommitAsync(string what, Func<Task> commit)
    {
        _what = what;
        _commits++;
        await commit();
        return (what, "acked");
    }

    private Task<(string What, string Outcome)> InviteAsync(GroupState state, Random dice)
    {
        var strangers = _clients.Where(client => !state.Members.Contains(client.Key)).OrderBy(_ => dice.Next()).Take(dice.Next(1, 4)).ToList();
        return strangers.Count == 0
            ? Task.FromResult(("invite", "nobody left"))
            : CommitAsync($"invite {string.Join('+', strangers.Select(client => client.Name))}",
                () => Alice.Client.InviteAsync(_group, [.. strangers.Select(client => client.Key)]));
    }

    private Task<(string What, string Outcome)> RemoveAsync(SimClient client, GroupState state, Random dice)
    {
        var others = _clients.Where(other => other != Alice && other != client && state.Members.Contains(other.Key)).ToList();
        if (others.Count < 2)
        {
            return Task.FromResult(("remove", "too few"));
        }

        var gone = others[dice.Next(others.Count)];
        _stable.Remove(gone.Index);
        return CommitAsync($"remove {gone.Name}", () => client.Client.RemoveAsync(_group, gone.Key));
    }

    /// <summary>The network heals; everybody looks until nothing changes; then all must agree.</summary>
    private async Task CalmAsync()
    {
        _network.Trouble = 0;
        _step += 16; // what is under way arrives, partitions end
        string before = string.Empty;
        int quiet = 0;
        for (int turn = 0; quiet < 2; turn++)
        {
            if (turn == MaxCalmTurns)
            {
                throw new InvalidOperationException($"no peace after {MaxCalmTurns} turns: {before}");
            }

            Tick(Phases * 10);
            foreach (var client in _clients)
            {
                await CalmAsync(client);
            }

            string now = string.Join(' ', _clients.Select(Summary));
            quiet = now == before ? quiet + 1 : 0;
            before = now;
        }

        _trace.Add($"-- calm: {before}");
        Check();
    }

    private async Task CalmAsync(SimClient client)
    {
        await client.Client.ResumeAsync();
        var joined = await client.Client.AcceptInvitesAsync();
        if (joined.Joined.Count > 0)
        {
            _trace.Add($"   {client.Name} inbox: {Count(joined)}");
        }

        if (client.State(_group) is null)
        {
            return;
        }

        var report = await client.Client.SyncAsync(_group, commitLeaves: client == Alice);
        if (report.Incidents.Count > 0 || report.Resent > 0)
        {
            _trace.Add($"   {client.Name} sync: {Show(report)}");
        }

        if (client == Alice && Alice.Client.GetState(_group).PendingProposals > 0)
        {
            await Alice.Client.CommitPendingAsync(_group);
        }
    }

    private void Check()
    {
        var truth = Alice.State(_group)!;
        var members = _clients.Where(client => truth.Members.Contains(client.Key)).ToList();
        Demand(truth.Members.Count == members.Count, "a stranger is a member");
        foreach (var client in _clients)
        {
            var state = client.State(_group);
            bool agrees = state is { IsActive: true } && (state.Epoch, state.EpochAuthenticator, state.TreeHash, state.ConfirmedTranscriptHash, state.Check)
                == (truth.Epoch, truth.EpochAuthenticator, truth.TreeHash, truth.ConfirmedTranscriptHash, truth.Check);
            if (members.Contains(client))
            {
                Demand(agrees, $"{client.Name} is a member and stands elsewhere: {Summary(client)} instead of {Summary(Alice)}");
            }
            else
            {
                Demand(!agrees, $"{client.Name} is no member and sees the group");
                Orphans += state is { IsActive: true } ? 1 : 0; // joined by an invitation that lost its race
            }

            Demand(client.Client.OutboxCount == 0, $"{client.Name} still has {client.Client.OutboxCount} events to send");
        }

        CheckMessages(members);
        _stable.Clear();
        _stable.UnionWith(members.Select(client => client.Index));
    }

    private void CheckMessages(List<SimClient> members)
    {
        var stable = members.Where(client => _stable.Contains(client.Index)).ToList();
        foreach (var client in members)
        {
            var ids = client.Client.GetMessages(_group).Select(message => message.Rumor.Id).ToList();
            Demand(ids.Count == ids.Distinct().Count(), $"{client.Name} has a message twice");
            if (!stable.Contains(client))
            {
                continue;
            }

            var known = ids.ToHashSet();
            foreach (var (id, (sender, text)) in _sent.Where(pair => _stable.Contains(pair.Value.Sender) && stable.Contains(_clients[pair.Value.Sender])))
            {
                Demand(known.Contains(id), $"{client.Name} lacks '{text}'");
            }
        }
    }

    private void Tick(int seconds)
    {
        foreach (var client in _clients)
        {
            client.Clock.Advance(TimeSpan.FromSeconds(seconds));
        }

        _network.Step = _step;
    }

    private string Summary(SimClient client) => client.State(_group) is { } state
        ? string.Create(CultureInfo.InvariantCulture,
            $"{client.Name}:{(state.IsActive ? "" : "out@")}{state.Epoch}.{state.EpochAuthenticator[..4]}/{client.Client.GetMessages(_group).Count}"
            + $"{(client.Client.OutboxCount > 0 ? $"+{client.Client.OutboxCount}" : "")}")
        : $"{client.Name}:-";

    private string Show(GroupReport report)
    {
        RollBacks += report.Count(GroupOutcome.RolledBack);
        var counts = report.Incidents.GroupBy(incident => incident.Outcome)
            .Select(group => $"{group.Count()} {group.Key}{(group.Key == GroupOutcome.Refused ? $" ({group.First().Reason})" : "")}");
        return string.Join(", ", counts) + (report.Resent > 0 ? $", resent {report.Resent}" : "");
    }

    private static string Count(JoinReport report) =>
        $"joined {report.Joined.Count}{(report.Failed.Count > 0 ? $", failed: {string.Join("; ", report.Failed.Select(failed => failed.Reason))}" : "")}";

    private static Bytes32 RandomId(Random dice)
    {
        byte[] id = new byte[Bytes32.Size];
        dice.NextBytes(id);
        return new Bytes32(id);
    }

    [GeneratedRegex(@"\.[0-9a-f]{4}\b")]
    private static partial Regex Authenticator();

    private static void Demand(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(what);
        }
    }
}
