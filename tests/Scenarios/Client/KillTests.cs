using System.Text.Json.Nodes;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>Stories of `marmot agent` processes through the real relay in which one is killed with SIGKILL at the worst moment.</summary>
public sealed class KillTests(SuiteFixture fixture) : IClassFixture<SuiteFixture>, IAsyncLifetime
{
    private readonly TemporaryFolder _folders = new();
    private readonly List<AgentProcess> _agents = [];

    private string Relay => fixture.Suite.RelayUrl.ToString();

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var agent in _agents)
        {
            await agent.DisposeAsync();
        }

        _folders.Dispose();
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_member_who_was_dead_for_many_epochs_catches_up_although_he_is_killed_while_he_reads()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await carol.KillAsync();
        for (int epoch = 0; epoch < 8; epoch++)
        {
            await alice.AskAsync("send", new { group, content = $"a{epoch}" });
            await alice.AskAsync("selfUpdate", new { group });
            await bob.AskAsync("sync", new { group });
            await bob.AskAsync("send", new { group, content = $"b{epoch}" });
            await alice.AskAsync("sync", new { group });
        }

        carol = await StartAsync("carol", isNew: false);
        var reading = carol.AskAsync("sync", new { group });
        await carol.KillAsync(); // wherever it is: nothing read, half, or all of it
        await Record.ExceptionAsync(() => reading);
        carol = await StartAsync("carol", isNew: false);
        await SyncAsync(group, carol, alice, bob);
        await AssertAgreeAsync(group, alice, bob, carol);
        Assert.Equal(16, (await TextsAsync(carol, group)).Count);
        Assert.Equal(await TextsAsync(alice, group), await TextsAsync(carol, group));
        Assert.Equal(await TextsAsync(alice, group), await TextsAsync(bob, group));
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_member_removed_while_he_was_dead_reads_nothing_that_came_after()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.AskAsync("send", new { group, content = "for carol too" });
        string carolsKey = carol.Key;
        await carol.Agent.KillAsync();
        await alice.AskAsync("removeMember", new { group, pubkey = carolsKey });
        await alice.AskAsync("send", new { group, content = "without carol" });
        await SyncAsync(group, bob);
        await bob.AskAsync("send", new { group, content = "nor this" });
        carol = await StartAsync("carol", isNew: false);
        await SyncAsync(group, carol, alice);
        Assert.Equal(["for carol too"], await TextsAsync(carol, group));
        Assert.False((await StateAsync(carol, group))["active"]!.GetValue<bool>());
        Assert.Contains("no longer a member", await carol.Agent.RefusalAsync("send", new { group, content = "still here?" }), StringComparison.Ordinal);
        await AssertAgreeAsync(group, alice, bob);
        Assert.Equal(["for carol too", "nor this", "without carol"], await TextsAsync(alice, group));
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task An_admin_killed_in_the_middle_of_a_race_he_loses_comes_back_on_the_winning_side()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.AskAsync("updateMetadata", new { group, adminPubkeys = new[] { alice.Key, bob.Key } });
        await SyncAsync(group, bob, carol);

        // Alice's commit is made first and wins; Bob's is out first, and he dies before he has seen hers.
        await alice.AskAsync("hold", new { kinds = new[] { 445 } });
        var hers = alice.AskAsync("updateMetadata", new { group, name = "alice's" });
        long first = (await HeldAsync(alice)).CreatedAt;
        while (DateTimeOffset.UtcNow.ToUnixTimeSeconds() <= first)
        {
            await Task.Delay(50); // in one second the id would decide
        }

        await bob.AskAsync("updateMetadata", new { group, name = "bob's" });
        await bob.AskAsync("send", new { group, content = "on the branch that loses" });
        await SyncAsync(group, carol);
        await bob.Agent.KillAsync();
        await alice.AskAsync("release");
        await hers;
        bob = await StartAsync("bob", isNew: false);
        await SyncAsync(group, bob, carol, alice, bob, carol);
        await AssertAgreeAsync(group, alice, bob, carol);
        Assert.Equal("alice's", (await StateAsync(bob, group))["name"]!.GetValue<string>());
        foreach (var member in new[] { alice, bob, carol })
        {
            Assert.Equal(["on the branch that loses"], await TextsAsync(member, group));
        }
    }

    [Fact]
    [Trait("Spec", "MIP-01")]
    public async Task A_group_moves_to_another_relay_while_a_member_is_dead_and_what_he_sent_to_the_old_one_is_read()
    {
        await using var second = new SecondRelay();
        await second.StartAsync();
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.AskAsync("updateMetadata", new { group, relays = new[] { second.Url } });

        // Carol has not heard of it and writes where the group was; then she dies.
        await carol.AskAsync("send", new { group, content = "to the old relay" });
        await carol.Agent.KillAsync();
        await SyncAsync(group, bob, alice);
        await bob.AskAsync("send", new { group, content = "to the new relay" });
        carol = await StartAsync("carol", isNew: false);
        await SyncAsync(group, carol, alice, bob);
        await AssertAgreeAsync(group, alice, bob, carol);
        foreach (var member in new[] { alice, bob, carol })
        {
            Assert.Equal(["to the new relay", "to the old relay"], await TextsAsync(member, group));
        }
    }

    private async Task<(Named Alice, Named Bob, Named Carol, string Group)> ThreeAsync()
    {
        var alice = await StartAsync("alice");
        var bob = await StartAsync("bob");
        var carol = await StartAsync("carol");
        string group = (await alice.AskAsync("createGroup", new { name = "three", description = "a story" }))["state"]!["groupId"]!.GetValue<string>();
        await alice.AskAsync("inviteMany", new { group, pubkeys = new[] { bob.Key, carol.Key } });
        foreach (var joiner in new[] { bob, carol })
        {
            Assert.Single((await joiner.AskAsync("acceptInvites", new { waitMs = 20_000 }))["groups"]!.AsArray());
        }

        return (alice, bob, carol, group);
    }

    private async Task<Named> StartAsync(string name, bool isNew = true)
    {
        var agent = AgentProcess.Start();
        _agents.Add(agent);
        string key = (await agent.AskAsync("init", new { relays = new[] { Relay }, name, stateDir = _folders.File(name) }))["pubkey"]!.GetValue<string>();
        if (isNew)
        {
            await agent.AskAsync("publishRelayLists");
            await agent.AskAsync("publishKeyPackage");
        }

        return new Named(agent, key);
    }

    private static async Task<(string Id, long CreatedAt)> HeldAsync(Named agent)
    {
        var held = (await agent.AskAsync("held", new { count = 1, waitMs = 20_000 }))["events"]!.AsArray().Single()!;
        return (held["id"]!.GetValue<string>(), held["created_at"]!.GetValue<long>());
    }

    private static async Task SyncAsync(string group, params Named[] agents)
    {
        foreach (var agent in agents)
        {
            await agent.AskAsync("sync", new { group });
        }
    }

    private static async Task<JsonObject> StateAsync(Named agent, string group) => (await agent.AskAsync("groupState", new { group }))["state"]!.AsObject();

    private static async Task<List<string>> TextsAsync(Named agent, string group) =>
        [.. (await agent.AskAsync("listMessages", new { group }))["messages"]!.AsArray().Select(message => message!["content"]!.GetValue<string>()).Order(StringComparer.Ordinal)];

    private static async Task AssertAgreeAsync(string group, params Named[] agents)
    {
        var first = await StateAsync(agents[0], group);
        foreach (var agent in agents[1..])
        {
            var state = await StateAsync(agent, group);
            foreach (string field in new[] { "epoch", "check", "epochAuthenticator", "treeHash", "confirmedTranscriptHash", "nostrGroupId", "name" })
            {
                Assert.Equal(first[field]!.ToJsonString(), state[field]!.ToJsonString());
            }
        }
    }

    /// <summary>An agent and whose it is.</summary>
    private sealed record Named(AgentProcess Agent, string Key)
    {
        public Task<JsonObject> AskAsync(string command, object? arguments = null) => Agent.AskAsync(command, arguments);

        public Task KillAsync() => Agent.KillAsync();
    }

    /// <summary>Another relay, in a process of its own.</summary>
    private sealed class SecondRelay : IAsyncDisposable
    {
        private readonly TemporaryFolder _data = new();
        private MarmotServerProcess? _process;

        public string Url => _process!.RelayUrl.ToString();

        public async Task StartAsync() => _process = await MarmotServerProcess.StartAsync("all", _data.File("data"));

        public async ValueTask DisposeAsync()
        {
            await _process!.DisposeAsync();
            _data.Dispose();
        }
    }
}
