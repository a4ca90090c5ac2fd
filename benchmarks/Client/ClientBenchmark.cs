using System.Diagnostics;
using System.Globalization;
using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Storage;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Groups;
using Marmot.TestKit;

namespace Marmot.Benchmarks.Client;

/// <summary>The client through the real relay on disk, beside what its cryptography alone costs in the same run.</summary>
internal static class ClientBenchmark
{
    private const int Pipelined = 16;
    private const string Text = "forty characters of chat, more or less..";

    public static async Task<int> RunAsync(int messages, int[] sizes)
    {
        using var folder = new TemporaryFolder();
        await using var relay = await MarmotServerProcess.StartAsync("relay", folder.File("relay"));
        double floor = Floor(messages);
        Line("seal and open one message, cryptography alone", floor, "us", "MLS protect and open, envelope, Schnorr sign and verify");

        // 1. Two members: sending waits for the disk twice, here and on the relay.
        var alice = await StartAsync(relay, folder.File("alice"));
        var bob = await StartAsync(relay, folder.File("bob"));
        string group = (await alice.Client.CreateGroupAsync("bench", "")).GroupId;
        await alice.Client.InviteAsync(group, [bob.Client.PublicKey]);
        await bob.Client.AcceptInvitesAsync(TimeSpan.FromSeconds(10));
        int few = Math.Min(messages, 500);
        double one = await TimeAsync(async () =>
        {
            for (int i = 0; i < few; i++)
            {
                await alice.Client.SendAsync(group, $"{Text}{i}"); // equal texts in one second would be one event
            }
        });
        Line("send, one after the other", few / one, "/s", Ratio(few / one, floor));
        double many = await TimeAsync(() => Parallel.ForEachAsync(Enumerable.Range(0, messages - few), new ParallelOptions { MaxDegreeOfParallelism = Pipelined }, async (i, token) => await alice.Client.SendAsync(group, $"{Text}{few + i}", cancellationToken: token)));
        Line($"send, {Pipelined} under way", (messages - few) / many, "/s", Ratio((messages - few) / many, floor));

        // 2. Bob was away.
        double caughtUp = await TimeAsync(() => bob.Client.SyncAsync(group));
        int read = bob.Client.GetMessages(group).Count;
        Line($"catch up with {read} messages", read / caughtUp, "/s", Ratio(read / caughtUp, floor));
        Line("state of bob, live", bob.Store.LiveBytes / 1024.0, "KiB", string.Create(CultureInfo.InvariantCulture, $"{bob.Store.LiveBytes / (double)Math.Max(1, read):F0} bytes a message; {bob.Store.FileBytes / 1024} KiB on disk"));
        if (read != messages)
        {
            Console.Error.WriteLine($"bob read {read} of {messages} messages");
            return 1;
        }

        // 3. Groups by size; the members' key packages lie on the relay already.
        var people = new List<Person>();
        foreach (int size in sizes)
        {
            while (people.Count < size - 1)
            {
                people.Add(await StartAsync(relay, null));
            }

            string filled = "";
            double fill = await TimeAsync(async () =>
            {
                filled = (await alice.Client.CreateGroupAsync($"group of {size}", "")).GroupId;
                await alice.Client.InviteAsync(filled, [.. people.Take(size - 1).Select(person => person.Client.PublicKey)]);
            });
            Line($"make a group of {size} and send the Welcomes", fill * 1000, "ms", string.Create(CultureInfo.InvariantCulture, $"{fill * 1000 / size:F1} ms a member"));
            double join = await TimeAsync(() => people[size - 2].Client.AcceptInvitesAsync(TimeSpan.FromSeconds(20)));
            Line($"the last one joins the group of {size}", join * 1000, "ms", "");
            double send = await TimeAsync(() => alice.Client.SendAsync(filled, Text));
            Line($"send into the group of {size}", send * 1000, "ms", "");
        }

        foreach (var person in (Person[])[alice, bob, .. people])
        {
            await person.Client.DisposeAsync();
            person.Store.Dispose();
        }

        return 0;
    }

    /// <summary>Microseconds for the cryptography of one message on its whole way.</summary>
    private static double Floor(int messages)
    {
        var suite = CipherSuite.X25519Aes128Ed25519;
        var capabilities = Capabilities.Of([], []);
        var aliceKeys = suite.GenerateSignatureKeyPair();
        var bobKeys = suite.GenerateSignatureKeyPair();
        using var alicePackage = KeyPackageSecrets.Create(suite, aliceKeys, Credential.Basic("alice"u8), capabilities, Lifetime.Unlimited);
        using var bobPackage = KeyPackageSecrets.Create(suite, bobKeys, Credential.Basic("bob"u8), capabilities, Lifetime.Unlimited);
        using var alice = Group.Create("bench"u8.ToArray(), alicePackage, []);
        var commit = alice.Commit(new CommitRequest { Proposals = [new AddProposal(bobPackage.KeyPackage)] });
        alice.Merge(commit);
        using var bob = Group.Join(commit.Welcome!, bobPackage);
        byte[] key = alice.Export("marmot", "group-event"u8, 32);
        byte[] text = System.Text.Encoding.UTF8.GetBytes(Text);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < messages; i++)
        {
            var evt = GroupEvent.Create(key, default, alice.Protect(text, padTo: 256).ToBytes(), 1_790_000_000);
            if (!evt.TryVerify(out _) || !GroupEvent.TryParse(evt, out var envelope, out _) || !envelope.TryOpen(key, out byte[]? opened) || !MlsMessage.TryRead(opened, out var message, out _))
            {
                throw new InvalidOperationException("the bench's own message does not open");
            }

            _ = bob.Process(message!);
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / messages;
    }

    private static async Task<Person> StartAsync(MarmotServerProcess relay, string? folder)
    {
        ClientStore store;
        if (folder is null)
        {
            store = ClientStore.InMemory();
        }
        else
        {
            Directory.CreateDirectory(folder);
            using var secret = StoreSecret.FromKeyFile(Path.Combine(folder, "store.key"));
            store = ClientStore.Open(folder, secret);
        }

        var client = MarmotClient.Create(store, null, new AccountSettings { Relays = [relay.RelayUrl.ToString()] });
        await client.PublishRelayListsAsync();
        await client.PublishKeyPackageAsync();
        return new Person(client, store);
    }

    private static async Task<double> TimeAsync(Func<Task> step)
    {
        long start = Stopwatch.GetTimestamp();
        await step();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static string Ratio(double perSecond, double floorMicroseconds) =>
        string.Create(CultureInfo.InvariantCulture, $"{perSecond * floorMicroseconds / 1_000_000:F3} of the cryptography's limit on one core");

    private static void Line(string what, double value, string unit, string beside) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what,-52} {value,12:F1} {unit,-4} {beside}"));

    private sealed record Person(MarmotClient Client, ClientStore Store);
}
