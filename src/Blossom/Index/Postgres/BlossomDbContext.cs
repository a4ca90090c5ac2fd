using Microsoft.EntityFrameworkCore;

namespace Marmot.Blossom.Index.Postgres;

/// <summary>The schema of the blob index in PostgreSQL, for its migrations. The index itself speaks SQL (<see cref="PostgresBlobIndex"/>): each change is one
/// round trip.</summary>
internal sealed class BlossomDbContext(DbContextOptions<BlossomDbContext> options) : DbContext(options)
{
    public const string HistoryTable = "blossom_migrations";

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<BlobRow>(blob =>
        {
            blob.ToTable("blossom_blobs");
            blob.HasKey(row => row.Hash).HasName("blossom_blobs_key");
            blob.Property(row => row.Hash).HasColumnName("hash");
            blob.Property(row => row.Size).HasColumnName("size");
            blob.Property(row => row.Type).HasColumnName("type").HasMaxLength(ClaimSlot.MaxTypeLength);
            blob.Property(row => row.Mark).HasColumnName("mark");
            blob.Property(row => row.Read).HasColumnName("read").HasDefaultValue(0L);
        });
        modelBuilder.Entity<ClaimRow>(claim =>
        {
            claim.ToTable("blossom_claims");
            claim.HasKey(row => new { row.Hash, row.Owner }).HasName("blossom_claims_key");
            claim.Property(row => row.Hash).HasColumnName("hash");
            claim.Property(row => row.Owner).HasColumnName("owner");
            claim.Property(row => row.Uploaded).HasColumnName("uploaded");
            claim.Property(row => row.Expires).HasColumnName("expires");
            claim.HasOne<BlobRow>().WithMany().HasForeignKey(row => row.Hash).HasConstraintName("blossom_claims_blob");
            claim.HasIndex(row => row.Expires).HasDatabaseName("blossom_claims_by_end").HasFilter("expires IS NOT NULL");
            claim.HasIndex(row => new { row.Owner, row.Uploaded, row.Hash }).IsDescending(false, true, false).HasDatabaseName("blossom_claims_by_owner");
        });
        modelBuilder.Entity<RemovedRow>(removed =>
        {
            removed.ToTable("blossom_removed");
            removed.HasKey(row => row.Digest).HasName("blossom_removed_key");
            removed.Property(row => row.Digest).HasColumnName("digest");
            removed.Property(row => row.Uploaded).HasColumnName("uploaded");
            removed.Property(row => row.Removed).HasColumnName("removed");
            removed.HasIndex(row => row.Removed).HasDatabaseName("blossom_removed_by_time");
        });
        modelBuilder.Entity<FactRow>(fact =>
        {
            fact.ToTable("blossom_facts");
            fact.HasKey(row => row.Name).HasName("blossom_facts_key");
            fact.Property(row => row.Name).HasColumnName("name");
            fact.Property(row => row.Value).HasColumnName("value");
        });
    }

    /// <summary>A blob while a claim holds it.</summary>
    internal sealed class BlobRow
    {
        /// <summary>SHA-256, 32 bytes.</summary>
        public required byte[] Hash { get; init; }

        /// <summary>Bytes.</summary>
        public long Size { get; init; }

        public required string Type { get; init; }

        /// <summary>Where the store has the bytes (<see cref="Storage.BlobPlace"/>).</summary>
        public Guid Mark { get; init; }

        /// <summary>Last download that was noted, unix seconds; 0 for none.</summary>
        public long Read { get; init; }
    }

    /// <summary>One owner's hold on a blob; times in unix seconds, no end is null.</summary>
    internal sealed class ClaimRow
    {
        public required byte[] Hash { get; init; }

        /// <summary>Owner tag, 32 bytes (<see cref="Auth.OwnerTags"/>).</summary>
        public required byte[] Owner { get; init; }

        public long Uploaded { get; init; }

        public long? Expires { get; init; }
    }

    /// <summary>Where a claim that was removed in the last hour stood in its owner's list.</summary>
    internal sealed class RemovedRow
    {
        /// <summary>SHA-256 of owner tag and hash.</summary>
        public required byte[] Digest { get; init; }

        /// <summary>Unix seconds.</summary>
        public long Uploaded { get; init; }

        /// <summary>Unix seconds.</summary>
        public long Removed { get; init; }
    }

    /// <summary>What all replicas must agree on.</summary>
    internal sealed class FactRow
    {
        public required string Name { get; init; }

        public required byte[] Value { get; init; }
    }
}
