using System.Text.Json.Nodes;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>Stories of <c>marmot agent</c> processes through the real relay in which one is killed with SIGKILL at the worst moment.</summary>
public sealed class KillTests(SuiteFixture fixture) : AgentStories(fixture), IClassFixture<SuiteFixture>
{
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
