using System.Security.Cryptography;
using Marmot.Client;
using Marmot.ProviderSimulators;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Push;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>From a member's phone to the provider: gossip inside the group, trigger through the relay, push by the notification server.</summary>
public sealed class PushTests(PushTests.PushFixture fixture) : AgentStories(fixture), IClassFixture<PushTests.PushFixture>
{
    private readonly int _before = fixture.Apns.Requests.Count;

    private string Server => fixture.Suite.NotifyKey;

    [Fact]
    [Trait("Spec", "MIP-05")]
    public async Task A_message_rings_the_other_members_devices_in_every_dialect_and_not_after_they_took_their_token_back()
    {
        var suite = Suite;
        Assert.True(Nip19.TryDecodePublicKey(Server, out var server));
        await using var alice = await Person.StartAsync(suite);
        await using var bob = await Person.StartAsync(suite);
        await using var carol = await Person.StartAsync(suite);
        string group = (await alice.Client.CreateGroupAsync("ring", "")).GroupId;
        await alice.Client.InviteAsync(group, [bob.Key, carol.Key]);
        await bob.JoinAsync();
        await carol.JoinAsync();

        // Bob's phone tells a long token, Carol's a short one.
        byte[] bobs = RandomNumberGenerator.GetBytes(32), carols = RandomNumberGenerator.GetBytes(32);
        await bob.Client.RegisterPushAsync(group, new PushRegistration(DevicePlatform.Apns, bobs, server, suite.RelayUrl.ToString()));
        await carol.Client.RegisterPushAsync(group,
            new PushRegistration(DevicePlatform.Apns, carols, server, suite.RelayUrl.ToString(), TokenDialect.Mip05Short));
        await alice.Client.SyncAsync(group);
        Assert.Equal(2, alice.Client.GetPushTokens(group).Count);
        await alice.Client.SendAsync(group, "wake up");
        var triggers = await alice.Client.NotifyAsync(group, TimeSpan.Zero);
        Assert.Equal(2, triggers.Count(trigger => trigger.Acked));
        await WaitAsync(2);
        Assert.Equal((1, 1), (Deliveries(bobs), Deliveries(carols)));

        // Alice answered Carol's news with what she knows of Bob: Carol, who joined at the same time, need not have heard him.
        Assert.NotEmpty(await alice.Client.AnswerPushGossipAsync(group));
        Assert.Empty(await alice.Client.AnswerPushGossipAsync(group));

        // Bob is out; only Carol is rung, by a fresh ciphertext of the same token (the server takes equal triggers within minutes for repeats).
        await bob.Client.UnregisterPushAsync(group);
        await carol.Client.RegisterPushAsync(group, new PushRegistration(DevicePlatform.Apns, carols, server, suite.RelayUrl.ToString()));
        await alice.Client.SyncAsync(group);
        await alice.Client.NotifyAsync(group, TimeSpan.Zero);
        await WaitAsync(3);
        Assert.Equal((1, 2), (Deliveries(bobs), Deliveries(carols)));

        // marmot-push-v1: one real token among padding.
        byte[] device = RandomNumberGenerator.GetBytes(32);
        byte[] token = new byte[TokenDialect.MarmotPushV1.TokenSize];
        Assert.True(EncryptedToken.TryCreate(TokenDialect.MarmotPushV1, DevicePlatform.Apns, device, server, token));
        Assert.True(
            (await alice.Client.TriggerAsync(server, TokenDialect.MarmotPushV1,
                [token, RandomNumberGenerator.GetBytes(token.Length), RandomNumberGenerator.GetBytes(token.Length)], suite.RelayUrl.ToString())).Acked);
        await WaitAsync(4);
        Assert.Equal(1, Deliveries(device));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Spec", "MIP-05")]
    public async Task A_phone_rings_once_although_its_member_is_killed_while_he_tells_his_token_and_the_ringer_while_he_rings(bool answered)
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        byte[] phone = RandomNumberGenerator.GetBytes(32);
        object registration = new { group, platform = "apns", token = Convert.ToBase64String(phone), server = Server, relay = Relay };
        bob = await KillAtAsync(bob, kind: 445, answered, "registerPush", registration);
        await SyncAsync(group, alice, carol, bob);

        // A trigger that left counts even if nobody learned of it; one that did not is not sent by itself later, since nobody wants to be rung for what he has
        // read.
        alice = await KillAtAsync(alice, kind: 1059, answered, "notify", new { group, maxPauseMs = 0 });
        await SyncAsync(group, alice);
        if (!answered)
        {
            await alice.AskAsync("notify", new { group, maxPauseMs = 0 });
        }

        await WaitAsync(1);
        await bob.AskAsync("unregisterPush", new { group });
        await SyncAsync(group, alice, carol);
        Assert.Empty((await alice.AskAsync("notify", new { group }))["published"]!.AsArray());
        Assert.Equal(1, Deliveries(phone));
        await AssertAgreeAsync(group, alice, bob, carol);
    }

    private int Deliveries(byte[] token) => fixture.Apns.DeliveriesFor(Convert.ToHexStringLower(token));

    private async Task WaitAsync(int count)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await fixture.Apns.WaitForRequestsAsync(_before + count, deadline.Token);
    }

    /// <summary>A suite whose notification server knows one app, and the provider it pushes to.</summary>
    public sealed class PushFixture : SuiteFixture
    {
        public ApnsSimulator Apns { get; private set; } = null!;

        public override async Task InitializeAsync()
        {
            Apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions(), CancellationToken.None);
            await base.InitializeAsync();
        }

        public override async Task DisposeAsync()
        {
            await base.DisposeAsync();
            await Apns.DisposeAsync();
        }

        protected override string[] Settings(TemporaryFolder folder) =>
        [
            "--Notify:Apps:0:Name=example",
            $"--Notify:Apps:0:KeyFile={folder.File("example.nsec")}",
            $"--Notify:Apps:0:CaFile={folder.WriteSecret("ca.pem", Apns.CaCertificatePem)}",
            $"--Notify:Apps:0:Apns:TeamId={Apns.TeamId}",
            $"--Notify:Apps:0:Apns:KeyId={Apns.KeyId}",
            $"--Notify:Apps:0:Apns:KeyFile={folder.WriteSecret("apns.p8", Apns.PrivateKeyPem!)}",
            "--Notify:Apps:0:Apns:Topic=org.example.marmot",
            $"--Notify:Apps:0:Apns:Endpoint={Apns.Endpoint.GetLeftPart(UriPartial.Authority)}",
            "--Notify:CoalescingWindow=00:00:00",
        ];
    }
}
