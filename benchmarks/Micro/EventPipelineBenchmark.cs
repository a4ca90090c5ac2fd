using System.Security.Cryptography;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Benchmarks.Micro;

/// <summary>Parse, hash and verify of kind 445 events of about 1 KB, each with its own key, on one core, beside the bare library.</summary>
/// <remarks>Distinct events matter: a loop over one signature trains the branch predictor and flatters the result. Rounds of both sides alternate and the
/// medians are compared.</remarks>
internal static class EventPipelineBenchmark
{
    private const double RatioTarget = 0.9;

    public static int Run(int eventCount, int rounds)
    {
        Console.WriteLine($"Event pipeline: {eventCount:N0} distinct kind 445 events, {rounds} rounds, CPU time of one thread");
        var events = CreateEvents(eventCount);
        using var native = CurveLoop.TryStart(CreateRecords(events), out var missing);

        // Warm both sides until the JIT has settled.
        for (var i = 0; i < 3; i++)
        {
            ReadHash(events);
            Pipeline(events);
            BareVerify(events);
            native?.Run();
        }

        var read = new long[rounds];
        var hash = new long[rounds];
        var verify = new long[rounds];
        var full = new long[rounds];
        var c = new long[rounds];
        long allocated = 0;
        Func<byte[][], int> pipeline = Pipeline; // made here, so that the delegate is not counted as the events' garbage
        for (var i = 0; i < rounds; i++)
        {
            read[i] = Time(Read, events);
            hash[i] = Time(ReadHash, events);
            verify[i] = Time(BareVerify, events);
            var before = GC.GetAllocatedBytesForCurrentThread();
            full[i] = Time(pipeline, events);
            allocated = Math.Max(allocated, GC.GetAllocatedBytesForCurrentThread() - before);
            c[i] = native?.Run().Cpu ?? 0;
        }

        Print("parse", read, eventCount);
        Print("parse + hash", hash, eventCount);
        Print("verify only, C#", verify, eventCount);
        Print("parse + hash + verify", full, eventCount);
        Console.WriteLine($"{"allocated per event",-28} {(double)allocated / eventCount,10:F2} B (must be 0)");
        var passed = allocated == 0;
        if (native is null)
        {
            Console.WriteLine($"libsecp256k1 in C: not measured, {missing}");
            return 1;
        }

        Print("libsecp256k1 in C", c, eventCount);
        var ratio = (double)Median(c) / Median(full);
        passed &= ratio >= RatioTarget;
        Console.WriteLine($"{"ratio to libsecp256k1",-28} {ratio,10:F3}   (at least {RatioTarget})");
        Console.WriteLine(passed ? "holds" : "DOES NOT HOLD");
        return passed ? 0 : 1;
    }

    private static byte[][] CreateEvents(int count)
    {
        var events = new byte[count][];
        var payload = new byte[400];
        for (var i = 0; i < count; i++)
        {
            using var key = SecretKey.Generate();
            RandomNumberGenerator.Fill(payload);
            var group = RandomNumberGenerator.GetHexString(64, lowercase: true);
            events[i] = NostrEvent.Create(key, 445, [["h", group]], Convert.ToBase64String(payload), 1_700_000_000 + i).Json.ToArray();
        }

        return events;
    }

    private static byte[] CreateRecords(byte[][] events)
    {
        using var records = new MemoryStream();
        records.Write(new byte[32]); // no secret key: nothing is derived
        CurveLoop.WriteCounts(records, events.Length, derivations: 0);
        foreach (var json in events)
        {
            NostrEventReader.TryRead(json, out var view, out _);
            CurveLoop.WriteSigned(records, view);
        }

        return records.ToArray();
    }

    private static int Read(byte[][] events)
    {
        var good = 0;
        foreach (var json in events)
        {
            good += NostrEventReader.TryRead(json, out _, out _) ? 1 : 0;
        }

        return good;
    }

    private static int ReadHash(byte[][] events)
    {
        var good = 0;
        foreach (var json in events)
        {
            good += NostrEventReader.TryRead(json, out var view, out _) && EventVerifier.IsIdCorrect(view) ? 1 : 0;
        }

        return good;
    }

    private static int Pipeline(byte[][] events)
    {
        var good = 0;
        foreach (var json in events)
        {
            good += NostrEventReader.TryRead(json, out var view, out _) && EventVerifier.TryVerify(view, out _) ? 1 : 0;
        }

        return good;
    }

    // What the binding itself costs beside C; the reading in front is small and known from its own line.
    private static int BareVerify(byte[][] events)
    {
        var good = 0;
        foreach (var json in events)
        {
            NostrEventReader.TryRead(json, out var view, out _);
            good += EventVerifier.IsSignatureCorrect(view) ? 1 : 0;
        }

        return good;
    }

    private static long Time(Func<byte[][], int> work, byte[][] events)
    {
        var start = ThreadClock.Now();
        var good = work(events);
        var elapsed = ThreadClock.Now() - start;
        return good == events.Length ? elapsed : throw new InvalidOperationException("an event of the benchmark does not verify");
    }

    private static long Median(long[] values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }

    private static void Print(string name, long[] nanoseconds, int events)
    {
        var perEvent = (double)Median(nanoseconds) / events;
        Console.WriteLine($"{name,-28} {perEvent / 1000,10:F2} us {1e9 / perEvent,12:N0} events/s");
    }
}
