using System.Diagnostics.Metrics;
using Marmot.Blossom.Index;
using Marmot.Blossom.Storage;

namespace Marmot.Blossom;

/// <summary>The figures of the blob store, meter <c>marmot.blossom</c>. Labels are routes, status classes and refusal codes: nothing of a caller.</summary>
internal sealed class BlossomMetrics : IDisposable
{
    private readonly Meter _meter = new("marmot.blossom");
    private readonly Counter<long> _requests;
    private readonly Counter<long> _refusals;
    private readonly Counter<long> _received;
    private readonly Counter<long> _sent;
    private readonly Counter<long> _expired;
    private long _underWay;

    public BlossomMetrics(IBlobIndex index, IBlobStore store)
    {
        _requests = _meter.CreateCounter<long>("marmot.blossom.requests", "{request}", "Requests answered, by route and status class");
        _refusals = _meter.CreateCounter<long>("marmot.blossom.refusals", "{request}", "Requests refused, by route and code");
        _received = _meter.CreateCounter<long>("marmot.blossom.received", "By", "Bytes of blobs received");
        _sent = _meter.CreateCounter<long>("marmot.blossom.sent", "By", "Bytes of blobs sent");
        _expired = _meter.CreateCounter<long>("marmot.blossom.expired", "{blob}", "Blobs deleted because they ended");
        _meter.CreateObservableGauge("marmot.blossom.blobs", () => index.Totals.Blobs, "{blob}", "Blobs stored");
        _meter.CreateObservableGauge("marmot.blossom.claims", () => index.Totals.Claims, "{claim}", "Claims held on blobs");
        _meter.CreateObservableGauge("marmot.blossom.stored", () => index.Totals.Bytes, "By", "Bytes stored");
        _meter.CreateObservableGauge(
            "marmot.blossom.free", () =>
                store.FreeBytes is var free && free < long.MaxValue ? [new Measurement<long>(free)] : Array.Empty<Measurement<long>>(), "By", "Bytes free");
        _meter.CreateObservableGauge("marmot.blossom.damaged", () => index.DamagedClaims + store.DamagedBlobs, "{record}",
            "Claims and small blobs that the disk has damaged");
        _meter.CreateObservableGauge("marmot.blossom.uploads_under_way", () => Interlocked.Read(ref _underWay), "{upload}", "Uploads being received");
    }

    public void Answered(string route, int status) =>
        _requests.Add(1, new KeyValuePair<string, object?>("route", route), new KeyValuePair<string, object?>("class", StatusClass(status)));

    public void Refused(string route, string code) =>
        _refusals.Add(1, new KeyValuePair<string, object?>("route", route), new KeyValuePair<string, object?>("code", code));

    public void Received(long bytes) => _received.Add(bytes);

    public void Sent(long bytes) => _sent.Add(bytes);

    public void Expired(int blobs) => _expired.Add(blobs);

    public UnderWay BeginUpload()
    {
        Interlocked.Increment(ref _underWay);
        return new UnderWay(this);
    }

    public void Dispose() => _meter.Dispose();

    private static string StatusClass(int status) => (status / 100) switch
    {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };

    internal readonly struct UnderWay(BlossomMetrics metrics) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref metrics._underWay);
    }
}
