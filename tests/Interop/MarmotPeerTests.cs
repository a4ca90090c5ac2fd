using System.Text.Json.Nodes;
using Marmot.TestKit;

namespace Marmot.Interop;

/// <summary>`marmot agent` and members that nobody here wrote (ts-mls 2.0.0-rc.10 with nostr-tools) in the same groups, over the real relay.</summary>
public sealed class MarmotPeerTests(SuiteFixture fixture) : IClassFixture<SuiteFixture>, IAsyncLifetime
{
    private readonly TemporaryFolder _folders = new();
    private readonly List<IAsyncDisposable> _open = [];

    private Uri Relay => fixture.Suite.RelayUrl;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var one in _open)
        {
            await one.DisposeAsync();
        }

        _folders.Dispose();
    }

    [Fact]
    [Trait("Spec", "MIP-02")]
    public async Task In_a_group_made_here_ts_mls_members_join_talk_update_their_keys_invite_and_leave()
    {
        var (alice, _) = await AgentAsync("alice");
        var (bob, bobsKey) = await AgentAsync("bob");
        var tess = await PeerAsync();
        var tom = await PeerAsync();
        string group =
            (await alice.AskAsync("createGroup",
                new { name = "ours", description = "", admins = new[] { tess.Key } }))["state"]!["groupId"]!.GetValue<string>();
        await alice.AskAsync("inviteMany", new { group, pubkeys = new[] { tess.Key, bobsKey } });
        Assert.Equal(group, (await tess.AskAsync("acceptInvite"))["group"]!.GetValue<string>());
        await bob.AskAsync("acceptInvites", new { waitMs = 20_000 });
        await AgreeAsync(group, [alice, bob], [tess]);

        await alice.AskAsync("send", new { group, content = "from alice" });
        await tess.AskAsync("send", new { content = "from tess €🦫" });
        await tess.AskAsync("sync");
        await tess.AskAsync("selfUpdate");
        await SyncAsync(group, alice, bob);
        await AgreeAsync(group, [alice, bob], [tess]);
        await alice.AskAsync("selfUpdate", new { group });
        await bob.AskAsync("sync", new { group });
        await bob.AskAsync("selfUpdate", new { group });
        await tess.AskAsync("sync");
        await AgreeAsync(group, [bob], [tess]);

        // Tess is an admin and invites Tom, who is as she is, into the group.
        await tess.AskAsync("invite", new { pubkeys = new[] { tom.Key } });
        await tom.AskAsync("acceptInvite");
        await tom.AskAsync("send", new { content = "from tom" });
        await SyncAsync(group, alice, bob);
        await bob.AskAsync("send", new { group, content = "from bob" });
        await tess.AskAsync("sync");
        await tom.AskAsync("sync");
        await AgreeAsync(group, [alice, bob], [tess, tom]);

        // Tom leaves the way marmot-ts does, by proposing his own removal; Alice commits it, and he reads nothing more.
        await tom.AskAsync("leave");
        await SyncAsync(group, alice, bob);
        await alice.AskAsync("commitPending", new { group });
        await alice.AskAsync("send", new { group, content = "tom is gone" });
        await SyncAsync(group, bob);
        await tess.AskAsync("sync");
        await tom.AskAsync("sync");
        await AgreeAsync(group, [alice, bob], [tess]);
        string[] expected = ["from alice", "from bob", "from tess €🦫", "from tom", "tom is gone"];
        Assert.Equal(expected, await TextsAsync(alice, group));
        Assert.Equal(expected, await TextsAsync(bob, group));
        Assert.Equal(expected, Texts(await tess.AskAsync("state")));
        Assert.Equal(["from bob", "from tom"], Texts(await tom.AskAsync("state")));
    }

    [Fact]
    [Trait("Spec", "MIP-01")]
    public async Task Into_a_group_made_by_ts_mls_members_of_ours_are_invited_and_one_of_them_is_killed()
    {
        var (alice, alicesKey) = await AgentAsync("alice2");
        var (bob, bobsKey) = await AgentAsync("bob2");
        var tess = await PeerAsync();
        string group = (await tess.AskAsync("createGroup", new { name = "theirs", admins = new[] { alicesKey } }))["group"]!.GetValue<string>();
        await tess.AskAsync("invite", new { pubkeys = new[] { alicesKey } });
        Assert.Single((await alice.AskAsync("acceptInvites", new { waitMs = 20_000 }))["groups"]!.AsArray());
        await AgreeAsync(group, [alice], [tess]);
        await alice.AskAsync("selfUpdate", new { group });
        await alice.AskAsync("invite", new { group, pubkey = bobsKey });
        await bob.AskAsync("acceptInvites", new { waitMs = 20_000 });
        await tess.AskAsync("sync");
        await AgreeAsync(group, [alice, bob], [tess]);
        await tess.AskAsync("send", new { content = "+", kind = 7, tags = new[] { new[] { "e", new string('0', 64) } } });
        await alice.KillAsync();
        await tess.AskAsync("selfUpdate");
        await tess.AskAsync("send", new { content = "while alice was dead" });
        (alice, _) = await AgentAsync("alice2", isNew: false);
        await SyncAsync(group, alice, bob);
        await bob.AskAsync("leave", new { group }); // the group does not require self_remove: a Remove of the own leaf
        await alice.AskAsync("sync", new { group });
        await alice.AskAsync("commitPending", new { group });
        await tess.AskAsync("sync");
        await bob.AskAsync("sync", new { group });
        await AgreeAsync(group, [alice], [tess]);
        Assert.Equal(["+", "while alice was dead"], await TextsAsync(alice, group));
        Assert.False((await bob.AskAsync("groupState", new { group }))["state"]!["active"]!.GetValue<bool>());
    }

    [Fact]
    [Trait("Spec", "RFC 9420")]
    public async Task What_ts_mls_sends_without_a_path_and_what_a_member_forges_is_refused_and_the_group_goes_on()
    {
        var (alice, alicesKey) = await AgentAsync("alice3");
        var (bob, bobsKey) = await AgentAsync("bob3");
        var tess = await PeerAsync();
        string group = (await tess.AskAsync("createGroup", new { name = "strict" }))["group"]!.GetValue<string>();
        await tess.AskAsync("invite", new { pubkeys = new[] { alicesKey, bobsKey } });
        await alice.AskAsync("acceptInvites", new { waitMs = 20_000 });
        await bob.AskAsync("acceptInvites", new { waitMs = 20_000 });
        var before = await StateAsync(alice, group);
        int bobsLeaf = before["leaves"]!.AsArray().Single(leaf => leaf!["pubkey"]!.GetValue<string>() == bobsKey)!["index"]!.GetValue<int>();
        await tess.AskAsync("removeWithoutPath", new { leaf = bobsLeaf });
        await tess.AskAsync("rename", new { name = "no path either", adopts = false });
        await tess.AskAsync("sendForged", new { rumor = new { pubkey = alicesKey } });
        await tess.AskAsync("sendForged", new { rumor = new { id = new string('a', 64) } });
        await tess.AskAsync("sendForged", new { rumor = new { }, signs = true });
        await tess.AskAsync("send", new { content = "an honest one" });
        await SyncAsync(group, alice, bob);
        Assert.Equal(["an honest one"], await TextsAsync(alice, group));
        Assert.Equal(before["epoch"]!.GetValue<int>(), (await StateAsync(alice, group))["epoch"]!.GetValue<int>());
        await AgreeAsync(group, [alice, bob], [tess]);
        await tess.AskAsync("selfUpdate");
        await SyncAsync(group, alice, bob);
        await AgreeAsync(group, [alice, bob], [tess]);
    }

    private async Task<MarmotPeer> PeerAsync()
    {
        var peer = await MarmotPeer.StartAsync(Relay);
        _open.Add(peer);
        return peer;
    }

    private async Task<(AgentProcess Agent, string Key)> AgentAsync(string name, bool isNew = true)
    {
        var agent = AgentProcess.Start();
        _open.Add(agent);
        string key = (await agent.AskAsync("init",
            new { relays = new[] { Relay.ToString() }, name, stateDir = _folders.File(name) }))["pubkey"]!.GetValue<string>();
        if (isNew)
        {
            await agent.AskAsync("publishRelayLists");
            await agent.AskAsync("publishKeyPackage");
        }

        return (agent, key);
    }

    private static async Task SyncAsync(string group, params AgentProcess[] agents)
    {
        foreach (var agent in agents)
        {
            await agent.AskAsync("sync", new { group });
        }
    }

    private static async Task<JsonObject> StateAsync(AgentProcess agent, string group) =>
        (await agent.AskAsync("groupState", new { group }))["state"]!.AsObject();

    private static async Task<IEnumerable<string>> TextsAsync(AgentProcess agent, string group) => Texts(await agent.AskAsync("listMessages", new { group }));

    private static IEnumerable<string> Texts(JsonObject list) =>
        list["messages"]!.AsArray().Select(message => message!["content"]!.GetValue<string>()).Order(StringComparer.Ordinal);

    private static async Task AgreeAsync(string group, AgentProcess[] agents, MarmotPeer[] peers)
    {
        var states = new List<JsonObject>();
        foreach (var agent in agents)
        {
            states.Add(await StateAsync(agent, group));
        }

        foreach (var peer in peers)
        {
            states.Add(await peer.AskAsync("state"));
        }

        foreach (string field in new[] { "epoch", "check", "treeHash", "epochAuthenticator", "confirmedTranscriptHash" })
        {
            Assert.Single(states.Select(state => state[field]!.ToJsonString()).Distinct());
        }
    }
}
