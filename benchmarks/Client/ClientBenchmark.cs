using System.Diagnostics;
using System.Globalization;
using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Storage;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Events;
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
        var (sealing, opening) = Floor(messages);
        Line("seal one message, cryptography alone", sealing, "us", "MLS protect, envelope, Schnorr sign");
        Line("open one message, cryptography alone", opening, "us", "Schnorr verify, envelope, MLS open");

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
        Line("send, one after the other", few / one, "/s", Ratio(few / one, sealing));
        double many = await TimeAsync(() =>
            Parallel.ForEachAsync(Enumerable.Range(0, messages - few), new ParallelOptions { MaxDegreeOfParallelism = Pipelined },
                async (i, token) => await alice.Client.SendAsync(group, $"{Text}{few + i}", cancellationToken: token)));
        Line($"send, {Pipelined} under way", (messages - few) / many, "/s", Ratio((messages - few) / many, sealing));

        // 2. Bob was away.
        double caughtUp = await TimeAsync(() => bob.Client.SyncAsync(group));
        int read = bob.Client.CountMessages(group);
        Line($"catch up with {read} messages", read / caughtUp, "/s", Ratio(read / caughtUp, opening));
        long pages = new DirectoryInfo(Path.Combine(folder.File("bob"), ClientStore.PageFolderName)).EnumerateFiles().Sum(file => file.Length);
        Line("state of bob, in memory", bob.Store.LiveBytes / 1024.0, "KiB",
            string.Create(CultureInfo.InvariantCulture,
                $"{bob.Store.FileBytes / 1024} KiB on disk and {pages / 1024} KiB of history, {pages / (double)Math.Max(1, read):F0} bytes a message"));
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

            string filled = (await alice.Client.CreateGroupAsync($"group of {size}", "")).GroupId;
            var batches = new List<(double Seconds, int Members)>();
            foreach (var batch in people.Take(size - 1).Select(person => person.Client.PublicKey).Chunk(MarmotClient.InviteBatch))
            {
                batches.Add((await TimeAsync(() => alice.Client.InviteAsync(filled, batch)), batch.Length));
            }

            double fill = batches.Sum(batch => batch.Seconds);
            Line($"make a group of {size} and send the Welcomes", fill * 1000, "ms", string.Create(
                CultureInfo.InvariantCulture,
                $"{fill * 1000 / size:F1} ms a member; first batch {batches[0].Seconds * 1000 / batches[0].Members:F1}, last "
                    + $"{batches[^1].Seconds * 1000 / batches[^1].Members:F1}"));
            double join = await TimeAsync(() => people[size - 2].Client.AcceptInvitesAsync(TimeSpan.FromSeconds(20)));
            Line($"the last one joins the group of {size}", join * 1000, "ms", "");
            double send = await TimeAsync(() => alice.Client.SendAsync(filled, Text));
            int state = alice.Store.Get($"g/{filled}/mls")!.Length;
            Line($"send into the group of {size}", send * 1000, "ms", string.Create(CultureInfo.InvariantCulture, $"its MLS state is {state / 1024.0:F1} KiB"));
        }

        foreach (var person in (Person[])[alice, bob, .. people])
        {
            await person.Client.DisposeAsync();
            person.Store.Dispose();
        }

        return 0;
    }

    /// <summary>Microseconds for the cryptography of one message, at its sender and at its reader.</summary>
    internal static (double Sealing, double Opening) Floor(int messages)
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
        var events = new NostrEvent[messages];
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < messages; i++)
        {
            events[i] = GroupEvent.Create(key, default, alice.Protect(text, padTo: 256).ToBytes(), 1_790_000_000);
        }

        double sealing = Stopwatch.GetElapsedTime(start).TotalMicroseconds / messages;
        start = Stopwatch.GetTimestamp();
        foreach (var evt in events)
        {
            if (!evt.TryVerify(out _) || !GroupEvent.TryParse(evt, out var envelope, out _) || !envelope.TryOpen(key, out byte[]? opened)
                || !MlsMessage.TryRead(opened, out var message, out _))
            {
                throw new InvalidOperationException("the bench's own message does not open");
            }

            _ = bob.Process(message!);
        }

        return (sealing, Stopwatch.GetElapsedTime(start).TotalMicroseconds / messages);
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

    internal static void Line(string what, double value, string unit, string beside) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what,-52} {value,12:F1} {unit,-4} {beside}"));

    private sealed record Person(MarmotClient Client, ClientStore Store);
}
