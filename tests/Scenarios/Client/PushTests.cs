using System.Security.Cryptography;
using Marmot.Client;
using Marmot.NotifyServer.Simulators;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Push;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>From a member's phone to the provider: gossip inside the group, trigger through the relay, push by the notification server.</summary>
public sealed class PushTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private ApnsSimulator? _apns;

    public async Task InitializeAsync() => _apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions(), CancellationToken.None);

    public async Task DisposeAsync()
    {
        await _apns!.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    [Trait("Spec", "MIP-05")]
    public async Task A_message_rings_the_other_members_devices_in_every_dialect_and_not_after_they_took_their_token_back()
    {
        await using var suite = await MarmotServerProcess.StartAsync("all", _folder.File("data"), Settings());
        Assert.True(Nip19.TryDecodePublicKey(suite.NotifyKey, out var server));
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
        await carol.Client.RegisterPushAsync(group, new PushRegistration(DevicePlatform.Apns, carols, server, suite.RelayUrl.ToString(), TokenDialect.Mip05Short));
        await alice.Client.SyncAsync(group);
        Assert.Equal(2, alice.Client.GetPushTokens(group).Count);
        await alice.Client.SendAsync(group, "wake up");
        var triggers = await alice.Client.NotifyAsync(group, TimeSpan.Zero);
        Assert.Equal(2, triggers.Count(trigger => trigger.Acked));
        await WaitAsync(2);
        Assert.Equal((1, 1), (_apns!.DeliveriesFor(Convert.ToHexStringLower(bobs)), _apns.DeliveriesFor(Convert.ToHexStringLower(carols))));

        // Alice answered Carol's news with what she knows of Bob: Carol, who joined at the same time, need not have heard him.
        Assert.NotEmpty(await alice.Client.AnswerPushGossipAsync(group));
        Assert.Empty(await alice.Client.AnswerPushGossipAsync(group));

        // Bob is out; only Carol is rung, by a fresh ciphertext of the same token (the server takes equal triggers within minutes for repeats).
        await bob.Client.UnregisterPushAsync(group);
        await carol.Client.RegisterPushAsync(group, new PushRegistration(DevicePlatform.Apns, carols, server, suite.RelayUrl.ToString()));
        await alice.Client.SyncAsync(group);
        await alice.Client.NotifyAsync(group, TimeSpan.Zero);
        await WaitAsync(3);
        Assert.Equal((1, 2), (_apns.DeliveriesFor(Convert.ToHexStringLower(bobs)), _apns.DeliveriesFor(Convert.ToHexStringLower(carols))));

        // marmot-push-v1: one real token among padding.
        byte[] device = RandomNumberGenerator.GetBytes(32);
        byte[] token = new byte[TokenDialect.MarmotPushV1.TokenSize];
        Assert.True(EncryptedToken.TryCreate(TokenDialect.MarmotPushV1, DevicePlatform.Apns, device, server, token));
        Assert.True((await alice.Client.TriggerAsync(server, TokenDialect.MarmotPushV1, [token, RandomNumberGenerator.GetBytes(token.Length), RandomNumberGenerator.GetBytes(token.Length)], suite.RelayUrl.ToString())).Acked);
        await WaitAsync(4);
        Assert.Equal(1, _apns.DeliveriesFor(Convert.ToHexStringLower(device)));
    }

    private async Task WaitAsync(int count)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await _apns!.WaitForRequestsAsync(count, deadline.Token);
    }

    private string[] Settings() =>
    [
        "--Notify:Apps:0:Name=example",
        $"--Notify:Apps:0:KeyFile={_folder.File("example.nsec")}",
        $"--Notify:Apps:0:CaFile={_folder.WriteSecret("ca.pem", _apns!.CaCertificatePem)}",
        $"--Notify:Apps:0:Apns:TeamId={_apns.TeamId}",
        $"--Notify:Apps:0:Apns:KeyId={_apns.KeyId}",
        $"--Notify:Apps:0:Apns:KeyFile={_folder.WriteSecret("apns.p8", _apns.PrivateKeyPem!)}",
        "--Notify:Apps:0:Apns:Topic=org.example.marmot",
        $"--Notify:Apps:0:Apns:Endpoint={_apns.Endpoint.GetLeftPart(UriPartial.Authority)}",
        "--Notify:CoalescingWindow=00:00:00",
    ];
}
